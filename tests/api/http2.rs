//! HTTP/2, by a client that sees its frames: limits, interim responses, and the end of a connection.

use std::{future::poll_fn, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
};
use harness::{Server, eventually, random};
use http::{HeaderMap, Request, StatusCode};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::tls::Files;

/// A connection with HTTP/2.
struct Http2 {
    requests: SendRequest<Bytes>,
    /// It ends when the connection does.
    connection: JoinHandle<Result<(), h2::Error>>,
    token: String,
}

impl Http2 {
    async fn connect(files: &Files, server: &Server) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(files.path("certificate")).unwrap();
        roots.add(certificate).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(server.address().await).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let handshake = h2::client::handshake(stream.await.unwrap());
        let (requests, connection) = handshake.await.unwrap();
        Self {
            requests,
            connection: tokio::spawn(connection),
            token: server.token("alice", "files:read,files:write"),
        }
    }

    /// Sends the head of a request; its body follows, unless it is over.
    async fn begin(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        is_over: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://localhost{path}"))
            .header("authorization", format!("Bearer {}", self.token));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        self.requests
            .clone()
            .ready()
            .await?
            .send_request(request, is_over)
    }

    /// Gets a path, and returns the status.
    async fn get(&mut self, path: &str) -> StatusCode {
        let (response, _) = self.begin("GET", path, &[], true).await.unwrap();
        response.await.unwrap().status()
    }
}

/// The whole body of a response.
async fn whole(mut body: RecvStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        bytes.extend_from_slice(&piece);
    }
    bytes
}

/// The next interim response.
async fn interim(response: &mut ResponseFuture) -> (StatusCode, HeaderMap) {
    let told = poll_fn(|context| response.poll_informational(context));
    let told = timeout(Duration::from_secs(20), told)
        .await
        .expect("it is sent");
    let (parts, ()) = told.unwrap().unwrap().into_parts();
    (parts.status, parts.headers)
}

/// Asserts that a connection ended in order. The client may still write when the server has left.
fn is_over(ended: &Result<(), h2::Error>) {
    assert!(
        ended.as_ref().is_ok() || ended.as_ref().unwrap_err().is_io(),
        "{ended:?}"
    );
}

async fn serve() -> (Files, Server) {
    let files = Files::new();
    let server = files.serve(&[("FILESERVER_AUTH", "token")]).await;
    (files, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_requests_at_a_time() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    assert_eq!(client.get("/usage").await, 200);
    assert_eq!(client.requests.current_max_send_streams(), 64);
    let mut begun = Vec::new();
    for number in 0..64 {
        let path = format!("/files?file_name={number}");
        let (response, mut body) = client.begin("POST", &path, &[], false).await.unwrap();
        body.send_data(Bytes::from(number.to_string()), false)
            .unwrap();
        begun.push((response, body));
    }
    // One more waits until one of them has ended.
    let (mut waiting, _) = client.begin("GET", "/usage", &[], true).await.unwrap();
    let early = timeout(Duration::from_secs(1), &mut waiting).await;
    assert!(early.is_err(), "{early:?}");
    for (response, mut body) in begun {
        body.send_data(Bytes::new(), true).unwrap();
        assert_eq!(response.await.unwrap().status(), 201);
    }
    assert_eq!(waiting.await.unwrap().status(), 200);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_header_is_refused_and_the_connection_goes_on() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    let large = "a".repeat(70_000);
    let refused = client
        .begin("GET", "/usage", &[("x-large", &large)], true)
        .await;
    let refused = match refused {
        Ok((response, _)) => response.await.map(|response| response.status()),
        Err(error) => Err(error),
    };
    assert!(
        refused.as_ref().is_ok_and(|status| *status == 431) || refused.is_err(),
        "{refused:?}"
    );
    assert_eq!(client.get("/usage").await, 200);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_announced_is_not_stored() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    for (sent, announced) in [("abc", "5"), ("abcdefg", "5")] {
        let fields = [("content-length", announced), ("content-type", "a/b")];
        let begun = client
            .begin("POST", "/files?file_name=a", &fields, false)
            .await;
        let (response, mut body) = begun.unwrap();
        body.send_data(Bytes::from(sent), true).unwrap();
        let response = timeout(Duration::from_secs(20), response).await.unwrap();
        assert!(
            response.as_ref().is_err() || response.as_ref().unwrap().status().is_client_error(),
            "{response:?}"
        );
    }
    // A request that is given up leaves nothing either.
    let begun = client.begin("POST", "/files?file_name=a", &[], false).await;
    let (_response, mut body) = begun.unwrap();
    body.send_data(Bytes::from("abc"), false).unwrap();
    sleep(Duration::from_millis(200)).await;
    body.send_reset(h2::Reason::CANCEL);
    let (listed, _) = client.begin("GET", "/files", &[], true).await.unwrap();
    let listed = whole(listed.await.unwrap().into_body()).await;
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["files"], serde_json::json!([]));
    eventually(|| server.staged().is_empty()).await;
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_asked_for_and_an_upload_can_go_on_after_a_break() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    // 100, only when the body is wanted.
    let expect = [("expect", "100-continue"), ("content-length", "5")];
    let begun = client
        .begin("POST", "/files?file_name=a", &expect, false)
        .await;
    let (mut response, mut body) = begun.unwrap();
    assert_eq!(interim(&mut response).await.0, 100);
    body.send_data(Bytes::from("hello"), true).unwrap();
    assert_eq!(response.await.unwrap().status(), 201);
    let refused = client.begin("POST", "/nowhere", &expect, false).await;
    let (response, _body) = refused.unwrap();
    assert_eq!(response.await.unwrap().status(), 404);

    // 104: the URL of the upload, and later how far it is.
    let bytes = random(1_000_000);
    let length = bytes.len().to_string();
    let fields = [
        ("upload-draft-interop-version", "8"),
        ("upload-complete", "?1"),
        ("content-type", "a/b"),
        ("content-length", length.as_str()),
    ];
    let begun = client
        .begin("POST", "/files?file_name=b", &fields, false)
        .await;
    let (mut response, mut body) = begun.unwrap();
    let (status, told) = interim(&mut response).await;
    assert_eq!(status, 104);
    let location = told["location"].to_str().unwrap().to_owned();
    body.send_data(Bytes::copy_from_slice(&bytes[..300_000]), false)
        .unwrap();
    sleep(Duration::from_millis(300)).await;
    body.send_reset(h2::Reason::CANCEL);
    drop(response);

    let path = &location[location.find("/uploads").unwrap()..];
    let version = [("upload-draft-interop-version", "8")];
    let (head, _) = client.begin("HEAD", path, &version, true).await.unwrap();
    let head = head.await.unwrap();
    assert_eq!(head.status(), 204);
    let offset = head.headers()["upload-offset"].to_str().unwrap().to_owned();
    let from: usize = offset.parse().unwrap();
    assert!(from > 0 && from <= 300_000, "{from}");
    let fields = [
        ("upload-draft-interop-version", "8"),
        ("upload-complete", "?1"),
        ("upload-offset", offset.as_str()),
        ("content-type", "application/partial-upload"),
    ];
    let (response, mut body) = client.begin("PATCH", path, &fields, false).await.unwrap();
    body.send_data(Bytes::copy_from_slice(&bytes[from..]), true)
        .unwrap();
    let response = response.await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_asks_the_client_to_leave_and_ends_no_request() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    let begun = client.begin("POST", "/files?file_name=a", &[], false).await;
    let (response, mut body) = begun.unwrap();
    // Enough to be written to a file.
    body.send_data(Bytes::from(random(700_000)), false).unwrap();
    server.until_one_is_coming().await;
    let stopping = server.stop();
    let leaving = async {
        // After GOAWAY no request can begin.
        for _ in 0..200 {
            if client.begin("GET", "/usage", &[], true).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        assert!(client.begin("GET", "/usage", &[], true).await.is_err());
        body.send_data(Bytes::from("lo"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 201);
        whole(response.into_body()).await;
        timeout(Duration::from_secs(20), &mut client.connection).await
    };
    let ((), ended) = tokio::join!(stopping, leaving);
    is_over(&ended.expect("the connection ends").unwrap());
    server.check_is_clean();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_asked_to_leave() {
    let (files, server) = serve().await;
    let mut client = Http2::connect(&files, &server).await;
    assert_eq!(client.get("/usage").await, 200);
    let ended = timeout(Duration::from_mins(1), &mut client.connection).await;
    is_over(&ended.expect("it ends after 30 seconds").unwrap());
    server.finish().await;
}
