//! Giving somebody a file for a proof that they have it, instead of its bytes.
//!
//! Who knows a file's digests alone gets nothing by it, and learns nothing: whether the service
//! has the content or not, whether its size is another or the proof is wrong, a refusal takes the
//! same steps, reads as many bytes, says the same, and comes after the same time.

use std::time::Duration;

use domain::{
    ByteRange, FileName, MediaType, Owner, RandomId, Sha1, Sha256, Timestamp,
    possession::{self, Nonce, Prover},
};
use persistence::{Arrival, Claim, Recording, StoredContent};
use tokio::time::{Instant, sleep_until};

use crate::{Error, FileService, Result, Stored, random::random_id};

/// How long a claim can be proven.
const CLAIM_LIFETIME: Duration = Duration::from_mins(5);

/// In which time claims are counted.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// A refusal comes after a multiple of this, which is longer than it takes to read what is read
/// for it, even if a slow disk has to fetch each of its pieces.
const REFUSAL_STEP: Duration = Duration::from_millis(500);

/// What somebody says they have.
#[derive(Debug, Clone)]
pub struct NewClaim {
    /// The content's SHA-1.
    pub file_sha1: Sha1,
    /// The content's SHA-256, if it is known.
    pub file_sha256: Option<Sha256>,
    /// How many bytes it has.
    pub file_size: u64,
    /// The name that the file gets.
    pub file_name: FileName,
    /// The media type that is declared.
    pub content_type: MediaType,
}

/// What has to be proven.
#[derive(Debug, Clone)]
pub struct ClaimChallenge {
    /// The claim.
    pub id: RandomId,
    /// The proof's key.
    pub nonce: Nonce,
    /// The parts of the file that the proof is over.
    pub ranges: Vec<ByteRange>,
    /// Until when it can be proven.
    pub expires_at: Timestamp,
}

impl FileService {
    /// Lets somebody prove that they have a content, whether the service has it or not.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyClaims`], or when the database fails.
    pub async fn claim(&self, owner: &Owner, new: NewClaim) -> Result<ClaimChallenge> {
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
        Ok(ClaimChallenge {
            id: claim.id,
            nonce,
            ranges: possession::ranges(&nonce, claim.file_size),
            expires_at: claim.expires_at,
        })
    }

    /// Takes a claim back that comes after too many others.
    ///
    /// It is counted after it was made, so that of many at once no more are made than may be.
    async fn refuse_too_many(&self, claim: &Claim) -> Result<()> {
        let most = self.0.limits.claims_per_minute;
        let claims = self.0.database.claims();
        let since = claim.create_at.before(RATE_WINDOW);
        let Some(made_at) = claims.find_before(claim, since, most).await? else {
            return Ok(());
        };
        claims.remove(claim.id).await?;
        // When that one is a minute old there is room again.
        let free_at = made_at.after(RATE_WINDOW);
        Err(Error::TooManyClaims(self.time_until(free_at)))
    }

    /// Gives an owner the file of a claim, if the proof is right; the claim is used up either way.
    ///
    /// # Errors
    ///
    /// [`Error::ClaimNotFound`]; [`Error::NotProven`], whatever the reason; or when the database or
    /// the store fails.
    pub async fn prove(&self, owner: &Owner, id: RandomId, proof: &Sha256) -> Result<Stored> {
        let began = Instant::now();
        let now = self.0.clock.now();
        let claim = self.0.database.claims().use_up(owner, id, now).await?;
        let claim = claim.ok_or(Error::ClaimNotFound)?;
        let outcome = match self.verify(&claim, proof).await {
            Ok(Some(known)) => self.hand_over(&claim, &known).await,
            Ok(None) => Err(Error::NotProven),
            Err(error) => Err(error),
        };
        if matches!(outcome, Err(Error::NotProven)) {
            let steps = began.elapsed().as_millis() / REFUSAL_STEP.as_millis() + 1;
            sleep_until(began + REFUSAL_STEP * u32::try_from(steps).unwrap_or(1)).await;
        }
        outcome
    }

    /// The content that a claim is proven for.
    async fn verify(&self, claim: &Claim, proof: &Sha256) -> Result<Option<StoredContent>> {
        let found = self.0.database.contents().find(&claim.file_sha1).await?;
        let known = found.filter(|known| {
            known.content.size == claim.file_size
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
        let sample = match store.sample(key, claim.file_size, spans.clone()).await {
            Err(error @ (storage::Error::Missing(_) | storage::Error::WrongSize { .. })) => {
                // An upload brings back what was lost; or it was purged a moment ago.
                if let Some(known) = &known
                    && self.is_current(known).await?
                {
                    tracing::error!(content = %claim.file_sha1, %error, "the bytes of a content are lost");
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

    async fn hand_over(&self, claim: &Claim, known: &StoredContent) -> Result<Stored> {
        let arrival = Arrival {
            owner: &claim.owner,
            file_name: &claim.file_name,
            content_type: &claim.content_type,
            content: &known.content,
            address: None,
            lost: None,
            session: None,
            quota: Some(self.0.limits.quota),
            is_expected: false,
            copy_to: None,
            leftover_grace: self.0.limits.copy_grace,
            at: self.0.clock.now(),
        };
        match self.record(&arrival).await? {
            Recording::Done { entry, novelty, .. } => Ok(Stored {
                entry: *entry,
                novelty,
                deduplicated: true,
            }),
            // It was there a moment ago.
            Recording::BytesNeeded | Recording::Collision | Recording::SessionOver => {
                Err(Error::NotProven)
            }
        }
    }
}
