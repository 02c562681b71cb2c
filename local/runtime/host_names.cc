// local/runtime/host_names.cc: which pods are behind which names
#include "local/runtime/host_names.h"

#include <algorithm>
#include <sstream>

#include "local/runtime/json_access.h"

namespace muster::local {
namespace {

constexpr std::size_t kLabelBytes = 63;  // of one part of a DNS name

bool is_ready(const Json& pod) {
  if (member(pod, "metadata", "deletionTimestamp").is_string()) return false;
  return std::ranges::any_of(member(pod, "status", "conditions"), [](const Json& condition) {
    return text(member(condition, "type")) == "Ready" && text(member(condition, "status")) == "True";
  });
}

// Appends " NAME.NS.svc.cluster.local NAME.NS.svc NAME.NS", and " NAME" where it is short enough.
void add_forms(std::string_view name, std::string_view ns, bool own, std::string& out) {
  for (const std::string_view end : {".svc.cluster.local", ".svc", ""})
    out.append(" ").append(name).append(".").append(ns).append(end);
  if (own) out.append(" ").append(name);
}

}  // namespace

std::string pod_hostname(const Json& pod) {
  std::string out = text(member(pod, "spec", "hostname"));
  if (out.empty()) out = name_of(pod);
  out.resize(std::min(out.size(), kLabelBytes));
  while (out.ends_with('-') || out.ends_with('.')) out.pop_back();
  return out;
}

void HostNames::relate(Service& service, const std::string& uid, const Pod& pod) {
  const bool selected =
      !service.selector.empty() && std::ranges::all_of(service.selector.items(), [&](const auto& wanted) {
        return member(pod.labels, wanted.key()) == wanted.value();
      });
  if (selected && !pod.over && (pod.ready || service.all)) {
    service.pods.insert(uid);
  } else {
    service.pods.erase(uid);
  }
}

void HostNames::put_pod(const Json& pod, const std::string& ip) {
  const std::string phase = text(member(pod, "status", "phase"));
  Pod now{.ns = namespace_of(pod),
          .hostname = pod_hostname(pod),
          .subdomain = text(member(pod, "spec", "subdomain")),
          .ip = ip,
          .labels = member(pod, "metadata", "labels"),
          .ready = is_ready(pod),
          .over = phase == "Succeeded" || phase == "Failed"};
  const std::string uid = uid_of(pod);
  Pod& known = pods_[uid];
  if (known == now) return;
  known = std::move(now);
  for (auto& [key, service] : services_) {
    if (key.first == known.ns) relate(service, uid, known);
  }
  changed_ = true;
}

void HostNames::remove_pod(const std::string& uid) {
  if (pods_.erase(uid) == 0) return;
  for (auto& [key, service] : services_) service.pods.erase(uid);
  changed_ = true;
}

void HostNames::put_service(const Json& service) {
  const ServiceKey key{namespace_of(service), name_of(service)};
  const auto known = services_.find(key);
  Service now{.selector = member(service, "spec", "selector"),
              .all = boolean(member(service, "spec", "publishNotReadyAddresses")),
              .pods = {}};
  if (known != services_.end() && known->second.selector == now.selector && known->second.all == now.all)
    return;
  for (const auto& [uid, pod] : pods_) {
    if (pod.ns == key.first) relate(now, uid, pod);
  }
  services_[key] = std::move(now);
  changed_ = true;
}

void HostNames::remove_service(const Json& service) {
  changed_ = services_.erase({namespace_of(service), name_of(service)}) > 0 || changed_;
}

bool HostNames::knows_service(const std::string& ns, const std::string& name) const {
  return services_.contains({ns, name});
}

std::string HostNames::lines(std::string_view ns) const {
  std::string out;
  for (const auto& [uid, pod] : pods_) {
    const bool own = pod.ns == ns;
    const auto service = services_.find({pod.ns, pod.subdomain});
    const bool named = service != services_.end() && service->second.pods.contains(uid);
    if ((!named && !own) || pod.over) continue;
    out += pod.ip;
    if (named) add_forms(pod.hostname + "." + pod.subdomain, pod.ns, own, out);
    if (own) out.append(" ").append(pod.hostname);
    out += "\n";
  }
  for (const auto& [key, service] : services_) {
    for (const std::string& uid : service.pods) {
      out += pods_.at(uid).ip;
      add_forms(key.second, key.first, key.first == ns, out);
      out += "\n";
    }
  }
  return out;
}

std::string with_files_first(std::string_view nsswitch) {
  std::string out;
  bool found = false;
  bool moved = false;
  std::istringstream in{std::string(nsswitch)};
  for (std::string line; std::getline(in, line); out += line + "\n") {
    if (!line.starts_with("hosts:")) continue;
    found = true;
    std::istringstream sources(line.substr(6, line.find('#') - 6));
    std::string first;
    sources >> first;
    if (first == "files") continue;
    moved = true;
    line.insert(6, " files");  // a second mention later does no harm
  }
  if (!found) return out + "hosts: files dns\n";  // without the line, glibc may ask DNS alone
  return moved ? out : "";
}

}  // namespace muster::local
