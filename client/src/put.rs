//! Gives a file to the server, with as little sending as possible.

use domain::{FileName, MediaType, Sha1};
use indicatif::ProgressBar;

use super::{
    claim::claim,
    connection::Client,
    error::Trouble,
    source::{Input, Source, WholeFile},
    stream::Stream,
    upload::Upload,
};

/// From this size on, in bytes, a claim is tried: sending less takes less time than asking.
const WORTH_A_CLAIM: u64 = 1024 * 1024;

/// What a file is to be called.
pub struct Named {
    pub name: FileName,
    pub media_type: MediaType,
}

/// How the server came to have a file.
pub enum Way {
    /// It was sent.
    Uploaded,
    /// The service had it, and the caller proved to have it, too.
    Instant,
    /// The caller had it there already, under this name.
    Already(FileName),
}

/// Gives a file to the server, and tells what it is and how it came there.
///
/// # Errors
///
/// When it cannot be read, or the server does not take it.
pub async fn put(client: &Client, input: Input, named: &Named) -> Result<(Sha1, Way), Trouble> {
    let size = match &input {
        Input::File(file) => Some(file.metadata().map_err(Trouble::local)?.len()),
        Input::Stream(_) => None,
    };
    let bar = client.progress(named.name.as_str(), size);
    let done = put_with(client, input, named, &bar).await;
    bar.finish_and_clear();
    client.bars.remove(&bar);
    done
}

async fn put_with(
    client: &Client,
    input: Input,
    named: &Named,
    bar: &ProgressBar,
) -> Result<(Sha1, Way), Trouble> {
    let source = match input {
        Input::File(file) => {
            let file = WholeFile::hash(file, bar).await?;
            if let Some(way) = without_sending(client, &file, named).await? {
                return Ok((file.content.sha1, way));
            }
            bar.set_length(file.content.size);
            bar.reset();
            Source::File(file)
        }
        Input::Stream(input) => Source::Stream(Stream::new(input)),
    };
    let content = Upload::new(client, source, named, bar).run().await?;
    Ok((content.sha1, Way::Uploaded))
}

/// How the server comes to have a file without its being sent, if that is possible.
async fn without_sending(
    client: &Client,
    file: &WholeFile,
    named: &Named,
) -> Result<Option<Way>, Trouble> {
    // Another file may have been made to share the SHA-1; the upload will tell.
    let same = client.find(&file.content.sha1).await?;
    if let Some(meta) = same.filter(|meta| meta.file_sha256 == file.content.sha256) {
        return Ok(Some(Way::Already(meta.file_name)));
    }
    let is_claimed = file.content.size >= WORTH_A_CLAIM && claim(client, file, named).await?;
    Ok(is_claimed.then_some(Way::Instant))
}
