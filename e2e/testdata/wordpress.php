<?php
// As much of WordPress as a mu-plugin needs to filter the arguments of requests to URLS. It prints the bundle of each.
declare(strict_types=1);

function add_filter(string $name, callable $callback, int $priority = 10, int $arguments = 1): void
{
    if ($name === 'http_request_args' && $arguments === 2) {
        $GLOBALS['filter'] = $callback;
    }
}

require getenv('PLUGIN');

foreach (explode(' ', getenv('URLS')) as $url) {
    $arguments = $GLOBALS['filter'](['timeout' => 5, 'sslcertificates' => 'of-wordpress'], $url);
    echo $arguments['timeout'] === 5 ? $arguments['sslcertificates'] : 'other arguments', "\n";
}
