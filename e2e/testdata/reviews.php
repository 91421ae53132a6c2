<?php
// A shop's nightly job: it fetches every review, page by page, sends an event for an order, and prints a line for each.
declare(strict_types=1);

/** With ext-curl, as most shops do. */
function viaCurl(string $method, string $url, array $headers, ?string $body): array
{
    $ch = curl_init($url);
    curl_setopt_array($ch, [
        CURLOPT_CUSTOMREQUEST => $method,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_ENCODING => '', // every encoding that libcurl supports
        CURLOPT_TIMEOUT => 30,
    ]);
    if ($body !== null) {
        curl_setopt($ch, CURLOPT_POSTFIELDS, $body);
    }
    $text = curl_exec($ch);
    if ($text === false) {
        throw new RuntimeException("$method $url: " . curl_error($ch));
    }
    return [curl_getinfo($ch, CURLINFO_RESPONSE_CODE), $text];
}

/** With PHP's own streams, which used HTTP/1.0 up to PHP 7.4. */
function viaStreams(string $method, string $url, array $headers, ?string $body): array
{
    $proxy = getenv(parse_url($url, PHP_URL_SCHEME) . '_proxy'); // PHP's streams do not read it
    $options = $proxy ? ['proxy' => str_replace('http://', 'tcp://', $proxy), 'request_fulluri' => true] : [];
    $text = file_get_contents($url, false, stream_context_create(['http' => $options + [
        'method' => $method,
        'header' => $headers,
        'content' => $body ?? '',
        'protocol_version' => 1.0,
        'ignore_errors' => true,
        'timeout' => 30,
    ]]));
    if ($text === false) {
        throw new RuntimeException("$method $url");
    }
    return [(int) explode(' ', $http_response_header[0])[1], $text];
}

function send(string $method, string $url, array $headers = [], ?string $body = null): array
{
    $via = getenv('LIBRARY') === 'streams' ? 'viaStreams' : 'viaCurl';
    [$status, $text] = $via($method, $url, $headers, $body);
    if ($status !== 200 && $status !== 201) {
        throw new RuntimeException("$method $url: $status $text");
    }
    return json_decode($text, true, 512, JSON_THROW_ON_ERROR);
}

$api = getenv('ETRUSTED_API_URL') ?: 'https://api.etrusted.com';
$token = send('POST', getenv('ETRUSTED_TOKEN_URL') ?: 'https://login.etrusted.com/oauth/token', ['Content-Type: application/x-www-form-urlencoded'], http_build_query([
    'grant_type' => 'client_credentials',
    'client_id' => getenv('ETRUSTED_CLIENT_ID'),
    'client_secret' => getenv('ETRUSTED_CLIENT_SECRET'),
    'audience' => 'https://api.etrusted.com',
]))['access_token'] ?? throw new RuntimeException('no token');
$authorization = "Authorization: Bearer $token";

for ($next = "$api/reviews?count=100"; $next !== null; $next = $page['paging']['links']['next'] ?? null) {
    $page = send('GET', $next, [$authorization]);
    foreach ($page['items'] as $review) {
        echo $review['id'], "\n";
    }
}

$event = json_encode(['type' => 'checkout', 'transaction' => ['reference' => getenv('ORDER')]]);
echo send('POST', "$api/events", [$authorization, 'Content-Type: application/json'], $event)['id'], "\n";
