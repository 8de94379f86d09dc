//! Properties of forms.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a property that does not hold panics"
)]

use actix_web::{FromRequest as _, dev, test::TestRequest};

use super::*;

const BOUNDARY: &str = "b";

impl FileSink for Vec<u8> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// A form is read alike however its bytes arrive, and a file comes out of it as it was put in.
pub fn forms(input: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(async {
        let whole = read_in_pieces(input, input.len().max(1)).await;
        for piece in [1, 7] {
            assert_eq!(
                read_in_pieces(input, piece).await,
                whole,
                "in pieces of {piece}"
            );
        }
        // The library takes a boundary for one after a bare CR, too.
        let has_boundary = |line_end: &[u8]| {
            let line_end = [line_end, b"--"].concat();
            input.windows(line_end.len()).any(|bytes| bytes == line_end)
        };
        if !has_boundary(b"\r\n") && !has_boundary(b"\r") && !input.starts_with(b"--") {
            let file = read_in_pieces(&form_with(input), 5).await;
            assert_eq!(file.unwrap().2, input);
        }
    });
}

fn form_with(file: &[u8]) -> Vec<u8> {
    let begin = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n";
    [begin.as_bytes(), file, b"\r\n--b--\r\n"].concat()
}

type Outcome = Option<(Option<FileName>, String, Vec<u8>)>;

async fn read_in_pieces(body: &[u8], size: usize) -> Outcome {
    let media_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let request = TestRequest::default()
        .insert_header((header::CONTENT_TYPE, media_type))
        .to_http_request();
    let pieces: Vec<_> = body
        .chunks(size)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let stream: dev::Payload = dev::Payload::Stream {
        payload: Box::pin(stream::iter(pieces)),
    };
    let payload = Payload::from_request(&request, &mut { stream })
        .await
        .unwrap();
    let form = parse(request.headers(), payload, Expected::default(), Vec::new())
        .await
        .ok()?;
    let Form { file, named } = form;
    assert!(file.sink.len() <= body.len());
    Some((
        named.or(file.file_name),
        file.content_type.to_string(),
        file.sink,
    ))
}
