<?php
// An app that knows nothing of the broker: its URLs are constants. It prints every review.
declare(strict_types=1);

header('Content-Type: text/plain');

/** With ext-curl. */
function fetchToken(): string
{
    $ch = curl_init('https://login.etrusted.com/oauth/token');
    curl_setopt_array($ch, [CURLOPT_RETURNTRANSFER => true, CURLOPT_FAILONERROR => true, CURLOPT_TIMEOUT => 30]);
    curl_setopt($ch, CURLOPT_POSTFIELDS, http_build_query([
        'grant_type' => 'client_credentials',
        'client_id' => getenv('ETRUSTED_CLIENT_ID'),
        'client_secret' => getenv('ETRUSTED_CLIENT_SECRET'),
        'audience' => 'https://api.etrusted.com',
    ]));
    $answer = curl_exec($ch);
    if ($answer === false) {
        throw new RuntimeException('no token: ' . curl_error($ch));
    }
    return json_decode($answer, true, 512, JSON_THROW_ON_ERROR)['access_token'];
}

/** With PHP's own streams. */
function fetchPage(string $url, string $token): array
{
    $answer = file_get_contents($url, false, stream_context_create(['http' => [
        'header' => "Authorization: Bearer $token",
        'timeout' => 30,
    ]]));
    if ($answer === false) {
        throw new RuntimeException("no answer from $url");
    }
    return json_decode($answer, true, 512, JSON_THROW_ON_ERROR);
}

$token = fetchToken();
for ($next = 'https://api.etrusted.com/reviews?count=100'; $next !== null; $next = $page['paging']['links']['next'] ?? null) {
    $page = fetchPage($next, $token);
    foreach ($page['items'] as $review) {
        echo "{$review['id']} {$review['rating']}\n";
    }
}
