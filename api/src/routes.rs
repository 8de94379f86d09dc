//! Which handler serves which URL.

use actix_web::{
    HttpRequest, HttpResponse, ResponseError as _,
    http::header::{self, HeaderValue},
    web,
};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    contract::Contract,
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
    problem::{Problem, ProblemType},
};

/// The operations, which the contract lists in this order.
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

/// What people read in a browser.
pub(crate) fn pages(config: &mut web::ServiceConfig) {
    let ui = utoipa_swagger_ui::Config::from("/openapi.json")
        .use_base_layout()
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .display_operation_id(true)
        .validator_url("none");
    config
        .service(web::redirect("/swagger-ui", "/swagger-ui/"))
        .service(SwaggerUi::new("/swagger-ui/{_:.*}").config(ui));
}

/// Answers what no operation does: there is no such URL, or it does not have that method.
pub(crate) async fn otherwise(request: HttpRequest, contract: web::Data<Contract>) -> HttpResponse {
    let methods = contract.methods_of(request.path()).join(", ");
    if methods.is_empty() {
        let detail = format!("there is nothing at {}", request.path());
        return Problem::new(ProblemType::NoSuchResource, detail).error_response();
    }
    let detail = format!("{} is not one of {methods}", request.method());
    let problem = Problem::new(ProblemType::MethodNotAllowed, detail);
    match HeaderValue::try_from(methods) {
        Ok(methods) => problem.with_header(header::ALLOW, methods).error_response(),
        Err(_) => problem.error_response(),
    }
}
