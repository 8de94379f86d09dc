//! The routes: the handler of each URL, and the contract of all of them.

use actix_web::{
    App, HttpRequest, HttpResponse, ResponseError as _,
    http::header::{self, HeaderValue},
    web,
};
use utoipa::{OpenApi as _, openapi::Server};
use utoipa_actix_web::{AppExt as _, service_config::ServiceConfig};

use crate::{
    endpoints::{
        append_tus_upload::append_tus_upload,
        append_upload::append_upload,
        cancel_transfer::cancel_transfer,
        check_health::check_health,
        check_readiness::check_readiness,
        claim_file::claim_file,
        create_tus_upload::create_tus_upload,
        download_file::download_file,
        find_file::find_file,
        find_transfer::find_transfer,
        follow_link::follow_link,
        inspect_tus_upload::inspect_tus_upload,
        inspect_upload::inspect_upload,
        list_files::list_files,
        list_transfers::list_transfers,
        list_uploads::list_uploads,
        offer_resumption::{offer_resumption, offer_resumption_of, offer_resumption_to},
        offer_tus::{offer_tus, offer_tus_to},
        prove_claim::prove_claim,
        put_file::put_file,
        read_contract::{read_contract_json, read_contract_yaml},
        read_metrics::read_metrics,
        read_usage::read_usage,
        remove_file::remove_file,
        remove_tus_upload::remove_tus_upload,
        remove_upload::remove_upload,
        share_file::share_file,
        start_transfer::start_transfer,
        unshare_file::unshare_file,
        update_file::update_file,
        upload_file::upload_file,
    },
    openapi::{Base, Contract, ContractError},
    problem::{Problem, ProblemType},
    public_url::PublicUrl,
};

/// Registers the operations, in the order of the contract.
pub(crate) fn operations(config: &mut ServiceConfig<'_>) {
    config
        .service(upload_file)
        .service(list_files)
        .service(find_file)
        .service(put_file)
        .service(update_file)
        .service(remove_file)
        .service(download_file)
        .service(share_file)
        .service(unshare_file)
        .service(follow_link)
        .service(offer_resumption)
        .service(offer_resumption_to)
        .service(list_uploads)
        .service(inspect_upload)
        .service(append_upload)
        .service(remove_upload)
        .service(offer_resumption_of)
        .service(offer_tus)
        .service(create_tus_upload)
        .service(inspect_tus_upload)
        .service(append_tus_upload)
        .service(remove_tus_upload)
        .service(offer_tus_to)
        .service(claim_file)
        .service(prove_claim)
        .service(read_usage)
        .service(start_transfer)
        .service(list_transfers)
        .service(find_transfer)
        .service(cancel_transfer)
        .service(check_health)
        .service(check_readiness)
        .service(read_metrics)
        .service(read_contract_json)
        .service(read_contract_yaml);
}

/// Responds with 404 to an unknown URL, and with 405 to an unsupported method.
pub(crate) async fn not_found(request: HttpRequest, contract: web::Data<Contract>) -> HttpResponse {
    let methods = contract.methods_of(request.path()).join(", ");
    if methods.is_empty() {
        let detail = format!("no resource has the path {}", request.path());
        return Problem::new(ProblemType::NoSuchResource, detail).error_response();
    }
    method_not_allowed(&request, &methods)
}

/// Responds with 405 to a resource that has other methods.
pub(crate) fn method_not_allowed(request: &HttpRequest, methods: &str) -> HttpResponse {
    let detail = format!(
        "{} is not supported; use one of {methods}",
        request.method()
    );
    let problem = Problem::new(ProblemType::MethodNotAllowed, detail);
    match HeaderValue::try_from(methods) {
        Ok(methods) => problem.with_header(header::ALLOW, methods).error_response(),
        Err(_) => problem.error_response(),
    }
}

/// Builds the contract from the annotations of the handlers.
///
/// # Errors
///
/// If an operation declares no scope or no role, which is a defect.
pub fn contract() -> Result<Contract, ContractError> {
    contract_at(None)
}

/// The contract of a service with a public URL.
pub(crate) fn contract_at(public_url: Option<&PublicUrl>) -> Result<Contract, ContractError> {
    let mut declared = declared();
    if let Some(url) = public_url {
        declared.servers = Some(vec![Server::new(url.to_string())]);
    }
    Contract::new(declared)
}

/// Collects the declarations of the handlers.
fn declared() -> utoipa::openapi::OpenApi {
    let (_, document) = App::new()
        .into_utoipa_app()
        .openapi(Base::openapi())
        .configure(operations)
        .split_for_parts();
    document
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::problem;

    #[test]
    fn the_checked_in_contract_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../openapi.yaml");
        let checked_in = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            checked_in == contract().unwrap().yaml,
            "openapi.yaml is stale: run `cargo run -- openapi > openapi.yaml`"
        );
    }

    #[test]
    fn every_operation_is_described_in_full() {
        let contract: Value = serde_json::from_str(&contract().unwrap().json).unwrap();
        let mut ids = Vec::new();
        for (path, item) in contract["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = format!("{method} {path}");
                let id = operation["operationId"].as_str().expect(&name);
                ids.push(id.to_owned());
                assert!(operation["summary"].is_string(), "{name}");
                assert!(operation["tags"].is_array(), "{name}");
                for (status, response) in operation["responses"].as_object().unwrap() {
                    assert!(response.get("$ref").is_none(), "{name}: {status}");
                    let is_problem = status.starts_with(['4', '5']) && method != "head";
                    let problem = response["content"].get(problem::MEDIA_TYPE);
                    assert_eq!(problem.is_some(), is_problem, "{name}: {status}");
                    if let Some(problem) = problem {
                        let examples = problem["examples"].as_object().unwrap();
                        assert!(!examples.is_empty(), "{name}: {status}");
                    }
                }
            }
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "operation ids are unique");
    }

    #[test]
    fn a_resource_knows_its_methods() {
        let contract = contract().unwrap();
        assert_eq!(
            contract.methods_of("/files"),
            ["GET", "HEAD", "POST", "OPTIONS"]
        );
        assert_eq!(
            contract.methods_of("/files/x"),
            ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
        );
        assert_eq!(contract.methods_of("/files/x/content"), ["GET", "HEAD"]);
        assert!(contract.methods_of("/files/").is_empty());
        assert!(contract.methods_of("/nowhere").is_empty());
    }
}
