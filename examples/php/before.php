<?php
// Prints every review, with OAuth in the app.
declare(strict_types=1);

$api = getenv('ETRUSTED_API_URL') ?: 'https://api.etrusted.com';
$tokenUrl = getenv('ETRUSTED_TOKEN_URL') ?: 'https://login.etrusted.com/oauth/token';

function send(string $url, array $options): array
{
    $ch = curl_init($url);
    curl_setopt_array($ch, $options + [CURLOPT_RETURNTRANSFER => true, CURLOPT_FAILONERROR => true, CURLOPT_TIMEOUT => 30]);
    $answer = curl_exec($ch);
    if ($answer === false) {
        throw new RuntimeException("$url: " . curl_error($ch));
    }
    return json_decode($answer, true, 512, JSON_THROW_ON_ERROR);
}

$token = send($tokenUrl, [CURLOPT_POSTFIELDS => http_build_query([
    'grant_type' => 'client_credentials',
    'client_id' => getenv('ETRUSTED_CLIENT_ID'),
    'client_secret' => getenv('ETRUSTED_CLIENT_SECRET'),
    'audience' => 'https://api.etrusted.com',
])])['access_token'];

for ($next = "$api/reviews?count=100"; $next !== null; $next = $page['paging']['links']['next'] ?? null) {
    $page = send($next, [CURLOPT_HTTPHEADER => ["Authorization: Bearer $token"]]);
    foreach ($page['items'] as $review) {
        echo "{$review['id']} {$review['rating']}\n";
    }
}
