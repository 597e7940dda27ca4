//! Serves a folder to browsers on this machine, isolated as wasm threads ask for.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Redirect;
use axum::routing::get;
use tokio::runtime;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;

/// Serves a folder on 127.0.0.1 until the process ends, and says where: on the given port or the
/// next free one (0: any).
pub fn serve(folder: PathBuf, port: u16) -> Result<SocketAddr> {
    let folder = folder.canonicalize().with_context(|| format!("{} can't be served", folder.display()))?;
    let listener = listen(port)?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("the server can't start")?;
    thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, site(folder)).await
        })
    });
    Ok(address)
}

/// The folder's files; the page stands in for the root.
fn site(folder: PathBuf) -> Router {
    let page = get(|| async { Redirect::temporary("/demo/") });
    // Isolated, as wasm threads and exact timers ask for; a rebuilt file shows at the next reload.
    [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-embedder-policy", "require-corp"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
    ]
    .into_iter()
    .fold(Router::new().route("/", page).fallback_service(ServeDir::new(folder)), |site, (name, value)| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        site.layer(SetResponseHeaderLayer::overriding(name, value))
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::{Read, Write};
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
        fs::write(folder.path().join("c.js"), "").unwrap();
        let address = serve(folder.path().to_owned(), 0).unwrap();

        let page = get(address, "/demo/?device=cpu");
        assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<p>page"), "{page}");
        assert!(page.contains("cross-origin-embedder-policy: require-corp"), "{page}");
        assert!(page.contains("content-type: text/html"), "{page}");
        assert!(get(address, "/a%20b.wasm").contains("content-type: application/wasm"));
        assert!(get(address, "/c.js").contains("content-type: text/javascript"));
        assert!(get(address, "/demo").contains("location: /demo/"));
        assert!(get(address, "/").contains("location: /demo/"));
        assert!(get(address, "/missing.js").starts_with("HTTP/1.1 404"));
    }

    #[test]
    fn nothing_outside_the_folder_is_reachable() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("secret"), "secret").unwrap();
        let folder = parent.path().join("site");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("open"), "open").unwrap();
        let address = serve(folder, 0).unwrap();

        assert!(get(address, "/open").ends_with("open"));
        for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/a/../../secret", "/..\\secret", "/%zz", "/%"] {
            let answer = get(address, path);
            assert!(!answer.contains("200 OK") && !answer.contains("secret"), "{path}: {answer}");
        }
    }

    #[test]
    fn connections_that_stay_open_hold_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("open"), "open").unwrap();
        let address = serve(folder.path().to_owned(), 0).unwrap();
        // Browsers open six and keep them.
        let mut kept: Vec<_> = (0..24).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stream in &mut kept {
            write!(stream, "GET /open HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        }
        for stream in &mut kept {
            let mut start = [0; 15];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 200 OK");
        }
    }

    #[test]
    fn a_taken_port_leads_to_the_next() {
        let first = listen(0).unwrap();
        let port = first.local_addr().unwrap().port();
        assert_ne!(listen(port).unwrap().local_addr().unwrap().port(), port);
    }
}
