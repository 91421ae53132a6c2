package proxies

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// NginxName is the name of Nginx, the most efficient solution without a program of your own.
const NginxName = "nginx with Lua"

// nginxModules are the modules that Debian's package for Lua loads, in this order.
var nginxModules = []string{"ndk_http_module.so", "ngx_http_lua_module.so"}

const (
	nginxModuleDir = "/usr/lib/nginx/modules"
	nginxPackages  = "nginx libnginx-mod-http-lua"
)

// Nginx does the broker's job as far as a page of Lua can: a timer in one worker fetches the token, and the next one at 80 % of
// its lifetime. A shared dictionary holds the token, and each request reads it there.
var Nginx = Proxy{
	Name: NginxName,
	Note: "a timer fetches the token into a shared dictionary",
	Prepare: func(ctx context.Context, _ Dirs) (Program, error) {
		path, err := findExecutable("nginx", nginxPackages)
		if err != nil {
			return Program{}, err
		}
		version, err := firstLine(ctx, path, "-v")
		if err != nil {
			return Program{}, err
		}
		files := []string{path}
		for _, module := range nginxModules {
			file := filepath.Join(nginxModuleDir, module)
			if _, err := os.Stat(file); err != nil {
				return Program{}, errors.New("the Lua module is not installed: apt-get install " + nginxPackages)
			}
			files = append(files, file)
		}
		return Program{Version: strings.TrimPrefix(version, "nginx version: nginx/"), Files: files, command: nginxCommand}, nil
	},
}

func nginxCommand(c RunConfig) (proc.Command, error) {
	text := nginxConfig
	if os.Geteuid() == 0 {
		text = "user root;\n" + text // the workers' default user cannot read the temporary directory
	}
	file, err := c.writeConfig("nginx.conf", text)
	return proc.Command{Args: []string{"-p", c.Dir, "-e", "stderr", "-c", file}}, err
}

// Bodies stay in memory: by default nginx writes uploads of 64 kB, and the rest of a download for a slow client, to files. The
// limits on requests per connection are raised, so that connections are really persistent.
const nginxConfig = `
load_module ` + nginxModuleDir + `/ndk_http_module.so;
load_module ` + nginxModuleDir + `/ngx_http_lua_module.so;
daemon off;
pid {DIR}/nginx.pid;
error_log stderr warn;
worker_processes auto;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path {DIR}/body;
    proxy_temp_path {DIR}/proxy;
    fastcgi_temp_path {DIR}/fastcgi;
    uwsgi_temp_path {DIR}/uwsgi;
    scgi_temp_path {DIR}/scgi;

    lua_shared_dict token 64k;
    lua_ssl_trusted_certificate {CA_FILE};
    lua_ssl_verify_depth 2;
    init_worker_by_lua_block {
        if ngx.worker.id() ~= 0 then return end
        local body = "{FORM}"
        local host, port = string.match("{API}", "^(.*):(%d+)$")
        local function fetch()
            local socket = ngx.socket.tcp()
            socket:settimeout(10000)
            if not socket:connect(host, tonumber(port)) then return end
            if not socket:sslhandshake(nil, "{API_NAME}", true) then return end
            socket:send("POST {TOKEN_PATH} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n"
                .. "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
            local response = socket:receive("*a")
            socket:close()
            local token = response and string.match(response, '"access_token":"([^"]+)"')
            local lifetime = response and string.match(response, '"expires_in":(%d+)')
            if not token or not lifetime then return end
            ngx.shared.token:set("authorization", "Bearer " .. token, tonumber(lifetime))
            return tonumber(lifetime)
        end
        local function loop(premature)
            if premature then return end
            ngx.timer.at(0.8 * (fetch() or 1), loop)
        end
        ngx.timer.at(0, loop)
    }

    upstream api {
        server {API};
        keepalive 256;
        keepalive_requests 100000000;
    }
    server {
        listen {LISTEN};
        keepalive_requests 100000000;
        client_max_body_size 0;
        location / {
            access_by_lua_block {
                local authorization = ngx.shared.token:get("authorization")
                if not authorization then return ngx.exit(503) end
                ngx.req.set_header("Authorization", authorization)
            }
            proxy_pass https://api;
            proxy_http_version 1.1;
            proxy_set_header Host {API};
            proxy_set_header Connection "";
            proxy_ssl_server_name on;
            proxy_ssl_name {API_NAME};
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {CA_FILE};
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
        }
    }
}
`
