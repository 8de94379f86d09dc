//! Claims: an owner gets a file by a proof of possession instead of an upload.
//!
//! A client that knows only the digests of a file gains nothing and learns nothing: whether the
//! content is unknown, has another size, or the proof is wrong, a refusal takes the same steps,
//! reads as many bytes, has the same text, and comes after the same time.

use std::time::Duration;

use domain::{
    ByteRange, Claim, FileName, MediaType, Owner, RandomId, Sha1, Sha256, StoredContent, Timestamp,
    possession::{self, Nonce, Prover},
};
use persistence::{Error as DatabaseError, RecordOutcome, UploadRecord};
use tokio::time::{Instant, sleep_until};

use crate::{
    Disclosure, Error, Expected, FileService, Result, Stored, boxed, damage::Trusted,
    random::random_id,
};

/// Lifetime of a claim.
const CLAIM_LIFETIME: Duration = Duration::from_mins(5);

/// Window in which claims are counted.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// Refusals come after a multiple of this time. It is longer than the reads for a refusal, even if
/// a slow disk has to fetch each range.
const REFUSAL_STEP: Duration = Duration::from_millis(500);

/// A claim to a content.
#[derive(Debug, Clone)]
pub struct NewClaim {
    /// SHA-1 of the content.
    pub file_sha1: Sha1,
    /// SHA-256 of the content, if known.
    pub file_sha256: Option<Sha256>,
    /// Size in bytes.
    pub file_size: u64,
    /// Name of the file.
    pub file_name: FileName,
    /// Declared media type.
    pub content_type: MediaType,
}

/// A challenge to prove a claim.
#[derive(Debug, Clone)]
pub struct ClaimTicket {
    /// Id of the claim.
    pub id: RandomId,
    /// Key of the proof.
    pub nonce: Nonce,
    /// Ranges of the file that the proof covers.
    pub ranges: Vec<ByteRange>,
    /// Expiry of the claim.
    pub expires_at: Timestamp,
}

impl FileService {
    /// Creates a claim to a content, whether or not the service has it.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyClaims`], or when the database fails.
    #[boxed]
    pub async fn claim(&self, owner: &Owner, new: NewClaim) -> Result<ClaimTicket> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|_| Error::Interrupted)?;
        let nonce = Nonce::from(random);
        let now = self.0.clock.now();
        let claim = Claim {
            id: random_id()?,
            owner: owner.clone(),
            nonce,
            file_sha1: new.file_sha1,
            file_sha256: new.file_sha256,
            file_size: new.file_size,
            file_name: new.file_name,
            content_type: new.content_type,
            create_at: now,
            expires_at: now.after(CLAIM_LIFETIME),
        };
        self.0.database.claims().insert(&claim).await?;
        self.refuse_too_many(&claim).await?;
        Ok(ClaimTicket {
            id: claim.id,
            nonce,
            ranges: possession::ranges(&nonce, claim.file_size),
            expires_at: claim.expires_at,
        })
    }

    /// Deletes the claim again if the owner exceeded the claim rate.
    ///
    /// Claims are counted after the insert, so that concurrent requests cannot exceed the rate.
    async fn refuse_too_many(&self, claim: &Claim) -> Result<()> {
        let most = self.0.limits.claims_per_minute;
        let claims = self.0.database.claims();
        let since = claim.create_at.before(RATE_WINDOW);
        let Some(made_at) = claims.find_before(claim, since, most).await? else {
            return Ok(());
        };
        claims.remove(claim.id).await?;
        // Once that claim leaves the window, another one is possible.
        let free_at = made_at.after(RATE_WINDOW);
        Err(Error::TooManyClaims(self.time_until(free_at)))
    }

    /// Verifies a proof and gives the file to the owner; the claim is used up in either case.
    ///
    /// # Errors
    ///
    /// [`Error::ClaimNotFound`]; [`Error::NotProven`] for any wrong claim or proof; or when the
    /// database or the store fails.
    #[boxed]
    pub async fn prove(&self, owner: &Owner, id: RandomId, proof: &Sha256) -> Result<Stored> {
        let began = Instant::now();
        let now = self.0.clock.now();
        let claim = self.0.database.claims().use_up(owner, id, now).await?;
        let claim = claim.ok_or(Error::ClaimNotFound)?;
        let outcome = match self.verify(&claim, proof).await {
            Ok(Some(known)) => match self.has_bytes(&known, Trusted::LargeOnes).await {
                Ok(true) => self.grant(&claim, &known).await,
                // An upload brings the bytes back.
                Ok(false) => Err(Error::NotProven),
                Err(error) => Err(error),
            },
            Ok(None) => Err(Error::NotProven),
            Err(error) => Err(error),
        };
        if matches!(outcome, Err(Error::NotProven)) {
            let steps = began.elapsed().as_millis() / REFUSAL_STEP.as_millis() + 1;
            sleep_until(began + REFUSAL_STEP * u32::try_from(steps).unwrap_or(1)).await;
        }
        outcome
    }

    /// Finds the content of a proven claim.
    async fn verify(&self, claim: &Claim, proof: &Sha256) -> Result<Option<StoredContent>> {
        let found = self.0.database.contents().find(&claim.file_sha1).await?;
        let is_open = self.may_claim(claim).await?;
        let known = found.filter(|known| {
            is_open
                && known.content.size == claim.file_size
                && claim
                    .file_sha256
                    .is_none_or(|sha256| sha256 == known.content.sha256)
        });
        let spans = possession::ranges(&claim.nonce, claim.file_size);
        let key = known.as_ref().map(|known| known.address.key.as_str());
        let store = match &known {
            Some(known) => self.0.stores.of(&known.address)?,
            None => self.0.stores.primary(),
        };
        let sample = match store.read_ranges(key, claim.file_size, spans.clone()).await {
            Err(error) if error.is_loss() => {
                // An upload restores a lost content; or the content was purged a moment ago.
                if let Some(known) = &known
                    && self.is_current(known).await?
                {
                    tracing::error!(content = %claim.file_sha1, %error, "the bytes of a content are missing");
                }
                return Ok(None);
            }
            sample => sample?,
        };
        let mut prover = Prover::new(&claim.nonce, &claim.id, &claim.file_sha1);
        prover.update(&sample);
        let is_proven = prover.verify(proof);
        Ok(known.filter(|_| is_proven))
    }

    /// Returns whether the settings allow the claim, if the service has the content.
    async fn may_claim(&self, claim: &Claim) -> Result<bool> {
        let limits = &self.0.limits;
        let is_allowed = match limits.disclosure {
            Disclosure::All => true,
            Disclosure::Owner => self.has_entry(&claim.owner, &claim.file_sha1).await?,
            Disclosure::Off => false,
        };
        Ok(is_allowed && claim.file_size >= limits.claim_min_size)
    }

    async fn grant(&self, claim: &Claim, known: &StoredContent) -> Result<Stored> {
        let record = UploadRecord {
            owner: &claim.owner,
            file_name: &claim.file_name,
            content_type: &claim.content_type,
            content: &known.content,
            checksums: None,
            address: None,
            lost: None,
            session: None,
            quota: Some(self.0.limits.quota),
            is_scheduled: false,
            copy_to: None,
            deletion_grace: self.0.limits.copy_grace,
            at: self.0.clock.now(),
        };
        let mut recorded = self.record(&record).await;
        if let Err(DatabaseError::QuotaFull(_)) = &recorded
            && self.has_replaced_uploads(claim).await?
        {
            recorded = self.record(&record).await;
        }
        match recorded? {
            RecordOutcome::Recorded { entry, outcome, .. } => Ok(Stored {
                entry: *entry,
                outcome,
                deduplicated: true,
            }),
            // The content was removed a moment ago.
            RecordOutcome::ContentMissing
            | RecordOutcome::Collision
            | RecordOutcome::SessionClosed => Err(Error::NotProven),
        }
    }

    /// Makes room in the owner's quota by removing unfinished uploads of the claimed content.
    async fn has_replaced_uploads(&self, claim: &Claim) -> Result<bool> {
        let expected = Expected {
            sha1: Some(claim.file_sha1),
            sha256: claim.file_sha256,
            size: None,
        };
        self.make_room_for(&claim.owner, &expected, Some(claim.file_size))
            .await
    }
}
