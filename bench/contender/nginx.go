package contender

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"etrusted-broker/bench/proc"
)

// NginxName is that of the leanest way to do it without writing a program.
const NginxName = "nginx with Lua"

// nginxModules are what Debian's package of the Lua module loads, in this order.
var nginxModules = []string{"ndk_http_module.so", "ngx_http_lua_module.so"}

const (
	nginxModuleFolder = "/usr/lib/nginx/modules"
	nginxPackages     = "nginx libnginx-mod-http-lua"
)

// Nginx does what the broker does, as far as a page of Lua goes: a timer in one worker fetches the token and fetches the
// next at 80 % of its life, a shared dictionary holds it, and each request takes it from there.
var Nginx = Contender{
	Name: NginxName,
	Note: "a timer fetches the token into a shared dictionary",
	Find: func(ctx context.Context, _ Workshop) (Program, error) {
		path, err := findDebian("nginx", nginxPackages)
		if err != nil {
			return Program{}, err
		}
		version, err := ask(ctx, path, "-v")
		if err != nil {
			return Program{}, err
		}
		files := []string{path}
		for _, module := range nginxModules {
			file := filepath.Join(nginxModuleFolder, module)
			if _, err := os.Stat(file); err != nil {
				return Program{}, errors.New("its Lua module is not installed: apt-get install " + nginxPackages)
			}
			files = append(files, file)
		}
		return Program{Version: strings.TrimPrefix(version, "nginx version: nginx/"), Files: files, command: nginxCommand}, nil
	},
}

func nginxCommand(at Place) (proc.Command, error) {
	text := nginxConfig
	if os.Geteuid() == 0 {
		text = "user root;\n" + text // the workers' usual user cannot enter the bench's folder
	}
	file, err := at.write("nginx.conf", text)
	return proc.Command{Args: []string{"-p", at.Folder, "-e", "stderr", "-c", file}}, err
}

// Whole bodies go through memory: by default nginx would put 64 kB of an upload, and what of a download a slow client has
// not yet taken, into files. The limits on requests for each connection are raised, so that keeping alive is what it says.
const nginxConfig = `
load_module ` + nginxModuleFolder + `/ndk_http_module.so;
load_module ` + nginxModuleFolder + `/ngx_http_lua_module.so;
daemon off;
pid {FOLDER}/nginx.pid;
error_log stderr warn;
worker_processes auto;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path {FOLDER}/body;
    proxy_temp_path {FOLDER}/proxy;
    fastcgi_temp_path {FOLDER}/fastcgi;
    uwsgi_temp_path {FOLDER}/uwsgi;
    scgi_temp_path {FOLDER}/scgi;

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
            local answer = socket:receive("*a")
            socket:close()
            local token = answer and string.match(answer, '"access_token":"([^"]+)"')
            local lifetime = answer and string.match(answer, '"expires_in":(%d+)')
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
