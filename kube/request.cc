// kube/request.cc: paths and queries of the Kubernetes API
#include "kube/request.h"

#include <algorithm>
#include <cctype>

namespace muster::kube {
namespace {

class Query {
 public:
  void add(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    text_ += text_.empty() ? '?' : '&';
    text_ += name;
    text_ += '=';
    text_ += url_encode(value);
  }
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

std::string header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    const bool same = std::equal(key.begin(), key.end(), name.begin(), name.end(), [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
    });
    if (same) return value;
  }
  return {};
}

std::string url_encode(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
                       byte == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

std::string resource_path(const Resource& resource, std::string_view ns, std::string_view name,
                          std::string_view subresource) {
  std::string path = resource.group.empty() ? "/api/" + resource.version : "/apis/" + resource.api_version();
  if (resource.namespaced && !ns.empty()) path += "/namespaces/" + url_encode(ns);
  path += "/" + resource.plural;
  if (!name.empty()) path += "/" + url_encode(name);
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

HttpRequest list_request(const Resource& resource, std::string_view ns, const ListOptions& options) {
  Query query;
  query.add("labelSelector", options.label_selector);
  query.add("fieldSelector", options.field_selector);
  if (options.limit > 0) query.add("limit", std::to_string(options.limit));
  if (options.continue_token.empty()) {
    query.add("resourceVersion", options.resource_version);
    // Without this a version together with a limit means a snapshot of exactly then, soon compacted away.
    if (!options.resource_version.empty()) query.add("resourceVersionMatch", "NotOlderThan");
  } else {
    query.add("continue", options.continue_token);  // carries the version; both together are refused
  }
  return {.method = "GET", .target = resource_path(resource, ns) + query.text(), .headers = {}, .body = {}};
}

HttpRequest watch_request(const Resource& resource, std::string_view ns, const WatchOptions& options) {
  Query query;
  query.add("watch", "1");
  query.add("labelSelector", options.label_selector);
  query.add("fieldSelector", options.field_selector);
  query.add("resourceVersion", options.resource_version);
  if (options.bookmarks) query.add("allowWatchBookmarks", "true");
  query.add("timeoutSeconds", std::to_string(options.timeout.count()));
  return {.method = "GET", .target = resource_path(resource, ns) + query.text(), .headers = {}, .body = {}};
}

HttpRequest create_request(const Resource& resource, std::string_view ns, const CreateOptions& options) {
  Query query;
  if (options.strict) query.add("fieldValidation", "Strict");
  if (options.dry_run) query.add("dryRun", "All");
  HttpRequest request{.method = "POST",
                      .target = resource_path(resource, ns) + query.text(),
                      .headers = {{"Content-Type", "application/json"}},
                      .body = {}};
  // A Status has no such form: refusals come as the second.
  if (options.metadata_only)
    request.headers.emplace_back(
        "Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
  return request;
}

HttpRequest patch_request(const Resource& resource, std::string_view ns, std::string_view name,
                          PatchType type, const PatchOptions& options) {
  Query query;
  query.add("fieldManager", options.field_manager);
  if (options.force) query.add("force", "true");
  return {.method = "PATCH",
          .target = resource_path(resource, ns, name, options.subresource) + query.text(),
          .headers = {{"Content-Type", std::string(content_type(type))}},
          .body = {}};
}

HttpRequest log_request(std::string_view ns, std::string_view pod, const LogOptions& options) {
  Query query;
  query.add("container", options.container);
  if (options.follow) query.add("follow", "true");
  if (options.previous) query.add("previous", "true");
  if (options.tail_lines) query.add("tailLines", std::to_string(*options.tail_lines));
  return {.method = "GET",
          .target = resource_path(kPods, ns, pod, "log") + query.text(),
          .headers = {},
          .body = {}};
}

std::string_view content_type(PatchType type) {
  switch (type) {
    case PatchType::kMerge: return "application/merge-patch+json";
    case PatchType::kJson: return "application/json-patch+json";
    case PatchType::kStrategic: return "application/strategic-merge-patch+json";
    case PatchType::kApply: return "application/apply-patch+yaml";
  }
  return "application/json";
}

}  // namespace muster::kube
