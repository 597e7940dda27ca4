//! `cargo pkg demo`: serves `www/dist` to a browser on this machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, bail};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::{build, project};

#[derive(clap::Args)]
pub struct Options {
    /// The port to serve on; where it is taken, the next free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Serve what was built last
    #[arg(long)]
    no_build: bool,
}

pub fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        build::run()?;
    }
    let site = project::root()?.join("www/dist");
    if !site.join("demo/index.html").is_file() {
        bail!("the page is not built: run `cargo pkg demo` without --no-build");
    }
    let address = serve(site, options.port)?;
    if address.port() != options.port {
        println!("Port {} is taken, so the page is on {}.", options.port, address.port());
    }
    println!("http://{address}/demo/  (Ctrl-C ends)");
    loop {
        thread::park();
    }
}

/// Serves a folder on 127.0.0.1 until the process ends, and says where: on the given port or the
/// next free one (0: any).
pub fn serve(folder: PathBuf, port: u16) -> Result<SocketAddr> {
    let folder = folder.canonicalize().with_context(|| format!("{} can't be served", folder.display()))?;
    let listener = listen(port)?;
    let address = listener.local_addr()?;
    let server =
        Server::from_listener(listener, None).map_err(|error| anyhow::anyhow!("the server can't start: {error}"))?;
    let (server, folder) = (Arc::new(server), Arc::new(folder));
    // Several, so that a large file in transit does not hold up the page.
    for _ in 0..4 {
        let (server, folder) = (server.clone(), folder.clone());
        thread::spawn(move || {
            for request in server.incoming_requests() {
                // An error here is a browser that went away in mid-answer: nothing to do.
                let _ = answer(request, &folder);
            }
        });
    }
    Ok(address)
}

fn listen(port: u16) -> Result<TcpListener> {
    for candidate in port..=port.saturating_add(50) {
        match TcpListener::bind(("127.0.0.1", candidate)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            other => {
                return other.with_context(|| format!("port {candidate} can't be opened: choose another with --port"));
            }
        }
    }
    bail!("every port from {port} on is taken: choose another with --port")
}

fn answer(request: Request, folder: &Path) -> std::io::Result<()> {
    if *request.method() != Method::Get && *request.method() != Method::Head {
        return request.respond(text(405, "Only GET and HEAD are answered here."));
    }
    let path = request.url().split(['?', '#']).next().unwrap_or_default();
    if path == "/" {
        return request.respond(redirect("/demo/"));
    }
    let Some(mut file) = resolve(folder, path) else {
        return request.respond(text(404, "There is nothing here."));
    };
    if file.is_dir() {
        if !path.ends_with('/') {
            // Without the slash the page's own relative addresses would miss.
            let target = format!("{path}/");
            return request.respond(redirect(&target));
        }
        file.push("index.html");
    }
    match File::open(&file) {
        Ok(open) => {
            request.respond(isolated(Response::from_file(open)).with_header(header("Content-Type", mime(&file))))
        }
        Err(_) => request.respond(text(404, "There is nothing here.")),
    }
}

/// The file an address names, or `None` where that would leave the folder.
fn resolve(folder: &Path, path: &str) -> Option<PathBuf> {
    let decoded = percent_decode(path)?;
    let mut file = folder.to_owned();
    for part in decoded.split('/').filter(|part| !part.is_empty()) {
        if part == ".." || part.contains(['\\', ':', '\0']) {
            return None;
        }
        file.push(part);
    }
    // The last word is the file system's: a link out of the folder is not followed.
    fs::canonicalize(file).ok().filter(|file| file.starts_with(folder))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

fn mime(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "txt" | "md" | "ts" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn text(status: u16, sentence: &str) -> Response<std::io::Cursor<Vec<u8>>> {
    isolated(Response::from_string(sentence)).with_status_code(status)
}

fn redirect(target: &str) -> Response<std::io::Cursor<Vec<u8>>> {
    text(307, "").with_header(header("Location", target))
}

fn header(name: &str, value: &str) -> Header {
    Header::from_bytes(name, value).expect("a header of plain letters")
}

/// What every answer carries: the first three isolate the page, as wasm threads and exact timers
/// ask for; the last makes a rebuilt file show at the next reload.
fn isolated<R: Read>(response: Response<R>) -> Response<R> {
    response
        .with_header(header("Cross-Origin-Opener-Policy", "same-origin"))
        .with_header(header("Cross-Origin-Embedder-Policy", "require-corp"))
        .with_header(header("Cross-Origin-Resource-Policy", "same-origin"))
        .with_header(header("Cache-Control", "no-store"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpStream;

    fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn serves_files_isolated_and_with_their_types() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("demo")).unwrap();
        fs::write(folder.path().join("demo/index.html"), "<p>page").unwrap();
        fs::write(folder.path().join("a b.wasm"), "wasm").unwrap();
        let address = serve(folder.path().to_owned(), 0).unwrap();

        let page = get(address, "/demo/?device=cpu");
        assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<p>page"), "{page}");
        assert!(page.contains("Cross-Origin-Embedder-Policy: require-corp"), "{page}");
        assert!(get(address, "/a%20b.wasm").contains("Content-Type: application/wasm"));
        assert!(get(address, "/demo").contains("Location: /demo/"));
        assert!(get(address, "/").contains("Location: /demo/"));
        assert!(get(address, "/missing.js").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn nothing_outside_the_folder_is_reachable() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("secret"), "secret").unwrap();
        let folder = parent.path().join("site");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("open"), "open").unwrap();
        let folder = folder.canonicalize().unwrap();

        assert!(resolve(&folder, "/open").is_some());
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a/../../secret", "/..\\secret", "/%zz", "/%"] {
            assert_eq!(resolve(&folder, path), None, "{path}");
        }
    }

    #[test]
    fn a_taken_port_leads_to_the_next() {
        let first = listen(0).unwrap();
        let port = first.local_addr().unwrap().port();
        assert_ne!(listen(port).unwrap().local_addr().unwrap().port(), port);
    }
}
