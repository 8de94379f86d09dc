"""Breaks the deployments in one place at a time, and tests that the checks notice.

    breaks.py RENDERED_FOLDER BINARY SCRATCH_FOLDER
"""

import copy
import pathlib
import sys

import yaml

import check
import running
from objects import containers, find, load_file, pod
from program import Program

API = "Deployment", "fileserver-api"
BREAKS = []
# Faults that only the binary notices.
STARTS = []


def breaks(overlay, kind, name, noticed):
    """Names a fault, and the finding that it has to cause."""

    def note(change):
        BREAKS.append((overlay, kind, name, noticed, change))
        return change

    return note


def api(noticed):
    return breaks("production", *API, noticed)


def starts(noticed):
    """The same for the pod of the small overlay, where the binary refuses to start."""

    def note(change):
        STARTS.append((noticed, change))
        return change

    return note


def container(each):
    return containers(each)[0]


def variable(each, name):
    return next(it for it in container(each)["env"] if it["name"] == name)


@api("'periodSecond' was unexpected")
def a_misspelt_field(it):
    container(it)["livenessProbe"]["periodSecond"] = 1


@api("is not of type 'integer'")
def a_value_of_another_type(it):
    it["spec"]["minReadySeconds"] = "5"


@api("has no readinessProbe at /readyz")
def no_readiness(it):
    del container(it)["readinessProbe"]


@api("has no livenessProbe at /healthz")
def a_liveness_that_asks_the_database(it):
    container(it)["livenessProbe"]["httpGet"]["path"] = "/readyz"


@api("has no startupProbe at /healthz")
def a_probe_of_a_port_that_there_is_not(it):
    container(it)["startupProbe"]["httpGet"]["port"] = "web"


@api("has no limits of memory")
def no_limit(it):
    del container(it)["resources"]["limits"]["memory"]


@api("may take 2304 MiB, and has 2048")
def more_uploads_than_memory(it):
    variable(it, "FILESERVER_REQUEST_MEMORY")["value"] = "2112MiB"


@api("has more power than it needs")
def a_file_system_to_write_to(it):
    container(it)["securityContext"]["readOnlyRootFilesystem"] = False


@api("may run as root")
def root(it):
    pod(it)["securityContext"]["runAsNonRoot"] = False


@api("may make any system call")
def any_system_call(it):
    del pod(it)["securityContext"]["seccompProfile"]


@api("gets a token of the cluster")
def a_token(it):
    del pod(it)["automountServiceAccountToken"]


@api("gets a variable for each Service")
def variables_for_services(it):
    del pod(it)["enableServiceLinks"]


@api("has a service account that there is not")
def another_account(it):
    pod(it)["serviceAccountName"] = "default"


@api("image that changes")
def the_latest(it):
    container(it)["image"] = "registry.example.org/fileserver:latest"


@api("image without a tag")
def no_tag(it):
    container(it)["image"] = "registry.example.org:5000/fileserver"


@api("the pods are of several releases")
def two_releases(it):
    container(it)["image"] = "registry.example.org/fileserver:0.2.0"


@api("is killed before it can have ended")
def no_time_to_end(it):
    pod(it)["terminationGracePeriodSeconds"] = 30


@api("Deployment/fileserver-api selects the pods of []")
def a_selector_of_nothing(it):
    it["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "apis"


@api("'Deployment/fileserver-worker', 'Job/")
def a_selector_of_all(it):
    del it["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]


@api("says how many there are")
def a_number_beside_the_autoscaler(it):
    it["spec"]["replicas"] = 3


@api("has fewer pods than it needs")
def an_update_that_takes_pods_away(it):
    it["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1


@api("may have all pods on one node")
def no_spread(it):
    del pod(it)["topologySpreadConstraints"]


@api("there is no ConfigMap fileserver")
def settings_that_there_are_not(it):
    next(v for v in pod(it)["volumes"] if v["name"] == "settings")["configMap"]["name"] = "fileserver"


@api("may fill its node")
def a_folder_without_an_end(it):
    next(v for v in pod(it)["volumes"] if v["name"] == "tmp")["emptyDir"] = {}


@api("who changes the schema?")
def all_change_the_schema(it):
    variable(it, "FILESERVER_NO_MIGRATE")["value"] = "false"


@api("FILESERVER_CURSOR_KEY is not from a Secret")
def a_key_in_sight(it):
    said = variable(it, "FILESERVER_CURSOR_KEY")
    del said["valueFrom"]
    said["value"] = "env:KEY"


@api("looks like a secret")
def a_password_in_sight(it):
    variable(it, "FILESERVER_LOG_FORMAT")["value"] = "mysql://fileserver:password@192.0.2.1/files"


@api("lacks CEPH_SECRET_KEY, which fileserver.toml asks for")
def a_secret_that_is_not_given(it):
    container(it)["env"].remove(variable(it, "CEPH_SECRET_KEY"))


@api("is given CEPH_KEY, which nothing asks for")
def a_secret_for_nobody(it):
    said = copy.deepcopy(variable(it, "CEPH_SECRET_KEY"))
    said["name"] = "CEPH_KEY"
    container(it)["env"].append(said)


@api("is sent POST /files, and has the roles api")
def a_role_too_few(it):
    container(it)["args"] = ["serve", "--role", "api"]


@api("has no namespace")
def no_namespace(it):
    del it["metadata"]["namespace"]


@api("is not scaled")
def nothing_scales_it(it):
    # As seen from the autoscaler.
    it["metadata"]["name"] = "fileserver-apis"


@breaks("production", "ConfigMap", None, "stores.ceph.secret_access_key in fileserver.toml stands there")
def a_secret_in_the_settings(it):
    it["data"]["fileserver.toml"] = it["data"]["fileserver.toml"].replace("env:CEPH_SECRET_KEY", "hush")


@breaks("production", "ConfigMap", None, "auth is jwt in the file, and token in the environment")
def a_setting_that_the_image_hides(it):
    said = it["data"]["fileserver.toml"]
    it["data"]["fileserver.toml"] = said.replace('auth = "token"', 'auth = "jwt"')


@api("lets everybody in")
def an_open_door(it):
    container(it)["env"].append({"name": "FILESERVER_AUTH", "value": "none"})


@breaks("production", "Service", "fileserver-api", "selects no pods")
def a_service_without_pods(it):
    it["spec"]["selector"]["app.kubernetes.io/component"] = "apis"


@breaks("production", "Service", "fileserver-api", "has no port web")
def a_service_for_another_port(it):
    it["spec"]["ports"][0]["targetPort"] = "web"


@breaks("production", "PodDisruptionBudget", "fileserver-api", "has 0 PodDisruptionBudgets")
def a_budget_for_nobody(it):
    it["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "apis"


@breaks("production", "HorizontalPodAutoscaler", "fileserver-api", "scales fileserver-apis, which there is not")
def an_autoscaler_of_nothing(it):
    it["spec"]["scaleTargetRef"]["name"] = "fileserver-apis"


@breaks("production", "HorizontalPodAutoscaler", "fileserver-api", "allows for a single pod")
def a_single_pod(it):
    it["spec"]["minReplicas"] = 1


@breaks("production", "NetworkPolicy", "deny-everything", "nothing closes the network")
def an_open_network(it):
    it["spec"]["egress"] = [{}]


@breaks("production", "NetworkPolicy", "to-database", "is about no pods")
def a_policy_for_nobody(it):
    it["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] = "files"


@breaks("production", "NetworkPolicy", "to-database", "lets anybody through")
def a_policy_for_every_address(it):
    del it["spec"]["egress"][0]["to"]


@breaks("production", "NetworkPolicy", "from-prometheus", "has no port metrics")
def a_policy_for_another_port(it):
    it["spec"]["ingress"][0]["ports"][0]["port"] = "metrics"


@breaks("production", "NetworkPolicy", "to-names", "may not look names up")
def no_names(it):
    it["spec"]["egress"][0]["ports"].pop(0)


@breaks("production", "NetworkPolicy", "from-ingress", "which the network is closed to")
def a_closed_door(it):
    it["spec"]["podSelector"]["matchExpressions"][1]["values"].remove("download")


@breaks("production", "Ingress", "fileserver-download", "GET /files/22596363b3de40b06f981fb85d82312e8c0ed511/content, and has the roles")
def downloads_elsewhere(it):
    it["spec"]["rules"][0]["http"]["paths"].pop(0)


@breaks("production", "Ingress", "fileserver-upload", "POST /tus leads nowhere")
def uploads_nowhere(it):
    it["spec"]["rules"][0]["http"]["paths"].pop(0)


@breaks("production", "Ingress", "fileserver-api", "/metrics is open to clients")
def numbers_for_everybody(it):
    it["spec"]["rules"][0]["http"]["paths"][0]["path"] = "/"


@breaks("production", "Ingress", "fileserver-api", "leads to fileserver-apis:http, which there is not")
def a_way_to_nowhere(it):
    it["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = "fileserver-apis"


@breaks("production", "Ingress", "fileserver-api", "proxy-body-size is not 0")
def small_bodies(it):
    del it["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"]


@breaks("production", "Ingress", "fileserver-api", "an upload may be sent twice")
def uploads_twice(it):
    it["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-next-upstream"] = "error non_idempotent"


@breaks("production", "Ingress", "fileserver-api", "is not by TLS only")
def no_tls(it):
    del it["spec"]["tls"]


@breaks("production", "Job", None, "is not called by its release")
def a_job_for_all_releases(it):
    it["metadata"]["name"] = "fileserver-migrate"


@breaks("production", "Job", None, "has settings")
def a_job_that_settings_change(it):
    pod(it)["volumes"].append({"name": "settings", "configMap": {"name": "fileserver"}})


@breaks("small", "Deployment", "fileserver", "would have two pods on one volume")
def two_pods_on_a_volume(it):
    it["spec"]["strategy"] = {"type": "RollingUpdate"}


@breaks("small", "Deployment", "fileserver", "there is no PersistentVolumeClaim files")
def another_volume(it):
    next(v for v in pod(it)["volumes"] if v["name"] == "data")["persistentVolumeClaim"]["claimName"] = "files"


@breaks("with-metrics", "PodMonitor", "fileserver", "does not scrape all that serves")
def a_pod_that_nobody_watches(it):
    it["spec"]["selector"]["matchExpressions"][1]["values"].remove("worker")


@breaks("with-metrics", "PrometheusRule", "fileserver", "has other alerts than")
def an_alert_less(it):
    it["spec"]["groups"][0]["rules"].pop()


@breaks("with-gateway-and-metrics", "HTTPRoute", "fileserver", "and has the roles")
def a_route_to_another_role(it):
    it["spec"]["rules"][1]["backendRefs"][0]["name"] = "fileserver-download"


@starts("there is no setting for the environment's FILESERVER_DRAINS")
def a_misspelt_variable(objects, it):
    variable(it, "FILESERVER_DRAIN")["name"] = "FILESERVER_DRAINS"


@starts("invalid value 'soon' for '--drain")
def a_value_that_is_none(objects, it):
    variable(it, "FILESERVER_DRAIN")["value"] = "soon"


@starts("unexpected argument '--rolls' found")
def a_misspelt_flag(objects, it):
    container(it)["args"] = ["serve", "--rolls", "api"]


@starts("there is no setting `public_uri`")
def a_misspelt_line_of_the_file(objects, it):
    settings(objects, "public_url", "public_uri")


@starts("No such file or directory")
def a_file_elsewhere(objects, it):
    variable(it, "FILESERVER_CONFIG")["value"] = "/etc/fileserver.toml"


@starts("does not serve it: 421")
def a_role_too_few_for_the_small_one(objects, it):
    container(it)["args"] = ["serve", "--role", "download"]


def settings(objects, old, new):
    data = next(each for each in objects if each["kind"] == "ConfigMap")["data"]
    assert old in data["fileserver.toml"]
    data["fileserver.toml"] = data["fileserver.toml"].replace(old, new)


def missed_breaks(whole, contract):
    for overlay, kind, name, noticed, change in BREAKS:
        objects = copy.deepcopy(whole[overlay])
        each = find(objects, kind, name) if name else next(it for it in objects if it["kind"] == kind)
        change(each)
        found = [*check.schema_findings([each]), *check.own_findings(objects, contract)]
        if not any(noticed in one for one in found):
            yield f"{change.__name__} is not noticed, of which is said: {found}"


def missed_starts(whole, contract, program):
    for noticed, change in STARTS:
        objects = copy.deepcopy(whole["small"])
        change(objects, find(objects, "Deployment", "fileserver"))
        found = list(running.overlay_findings(change.__name__, objects, contract, program))
        if not any(noticed in one for one in found):
            yield f"{change.__name__} is not noticed, of which is said: {found}"


def main():
    rendered, binary, scratch = map(pathlib.Path, sys.argv[1:])
    contract = yaml.load((check.ROOT / "openapi.yaml").read_text(), yaml.CSafeLoader)
    whole = {path.stem: load_file(path) for path in rendered.glob("*.yaml")}
    missed = list(missed_breaks(whole, contract))
    missed += missed_starts(whole, contract, Program(binary.resolve(), scratch))
    for one in missed:
        print(one, file=sys.stderr)
    tried = len(BREAKS) + len(STARTS)
    print(f"{tried} breaks, {tried - len(missed)} noticed", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
