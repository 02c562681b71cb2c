"""Kubernetes' pod security standard `restricted` (which holds `baseline`), as its documentation lists the controls."""
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
PROFILES = {"RuntimeDefault", "Localhost"}


def containers(pod):
    return pod.get("initContainers", []) + pod["containers"] + pod.get("ephemeralContainers", [])


def violations(pod):
    """Sentences, one for each rule that the pod spec breaks."""
    found = []
    outer = pod.get("securityContext") or {}
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            found.append(f"{field} is set")
    for volume in pod.get("volumes", []):
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            found.append(f"volume {volume['name']} is of type {sorted(kinds)}")
    if outer.get("sysctls"):
        found.append("sysctls are set")
    for container in containers(pod):
        own = container.get("securityContext") or {}
        say = lambda text: found.append(f"container {container['name']}: {text}")
        if own.get("privileged"):
            say("privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            say("allowPrivilegeEscalation is not false")
        capabilities = own.get("capabilities") or {}
        if "ALL" not in capabilities.get("drop", []):
            say("capabilities: ALL is not dropped")
        if not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
            say("capabilities are added")
        if own.get("runAsNonRoot", outer.get("runAsNonRoot")) is not True:
            say("runAsNonRoot is not true")
        if own.get("runAsUser", outer.get("runAsUser")) == 0:
            say("runAsUser is 0")
        profile = own.get("seccompProfile", outer.get("seccompProfile")) or {}
        if profile.get("type") not in PROFILES:
            say("seccompProfile is neither RuntimeDefault nor Localhost")
        if own.get("procMount", "Default") != "Default":
            say("procMount is set")
        for context in (own, outer):
            options = context.get("seLinuxOptions") or {}
            if options.get("type", "") not in ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"):
                say("seLinuxOptions.type is set")
            if options.get("user") or options.get("role"):
                say("seLinuxOptions.user or role is set")
            if (context.get("windowsOptions") or {}).get("hostProcess"):
                say("hostProcess")
            apparmor = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
            if apparmor not in PROFILES:
                say("appArmorProfile is Unconfined")
        if any(port.get("hostPort") for port in container.get("ports", [])):
            say("hostPort")
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            for handler in ("httpGet", "tcpSocket"):
                if ((container.get(probe) or {}).get(handler) or {}).get("host"):
                    say(f"{probe} names a host")
    return found
