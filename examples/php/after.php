<?php
// Prints every review. The broker handles OAuth.
declare(strict_types=1);

$api = getenv('ETRUSTED_API_URL') ?: 'http://localhost:8080';

function get(string $url): array
{
    $ch = curl_init($url);
    curl_setopt_array($ch, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 30]);
    $answer = curl_exec($ch);
    if ($answer === false) {
        throw new RuntimeException("$url: " . curl_error($ch));
    }
    $status = curl_getinfo($ch, CURLINFO_RESPONSE_CODE);
    if ($status !== 200) {
        // The broker says in detail what happened and what to do. The API's own errors have other fields.
        throw new RuntimeException("$url: $status " . (json_decode($answer, true)['detail'] ?? $answer));
    }
    return json_decode($answer, true, 512, JSON_THROW_ON_ERROR);
}

for ($next = "$api/reviews?count=100"; $next !== null; $next = $page['paging']['links']['next'] ?? null) {
    $page = get($next);
    foreach ($page['items'] as $review) {
        echo "{$review['id']} {$review['rating']}\n";
    }
}
