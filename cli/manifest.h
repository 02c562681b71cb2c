#pragma once  // cli/manifest.h: YAML text -> checked Kubernetes objects, each remembering where it was
              // written. Pure
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/yaml/yaml.h"

namespace muster::cli {

inline constexpr std::size_t kManifestBytesMax = 16U << 20U;  // far above any manifest, far below memory

struct ResourceKind {
  std::string_view api_version;
  std::string_view kind;
  std::string_view plural;
  bool namespaced;
  int order;  // of applying: what others refer to comes first
};

// What `muster run` starts from; nullptr if it is not among them.
[[nodiscard]] const ResourceKind* find_kind(std::string_view api_version, std::string_view kind);

struct ManifestObject {
  Json value;  // with metadata.namespace filled in where the kind has one
  const ResourceKind* kind = nullptr;
  std::string name;        // empty: the server makes one that begins with metadata.generateName
  std::string name_space;  // empty for kinds without
  std::string file;
  std::map<std::string, int, std::less<>> lines;  // field path ("spec.workers.replicas") -> line of the file

  [[nodiscard]] std::string title()
      const;                          // "DistributedJob/ring"; with generateName "DistributedJob/ring-*"
  [[nodiscard]] bool is_job() const;  // DistributedJob or FederatedRound
  // "job.yaml:12" of the field, or of the nearest parent that was written.
  [[nodiscard]] std::string where(std::string_view field_path) const;
};

// A List stands for its items; their lines are those below "items[i].".
[[nodiscard]] std::vector<YamlDocument> flatten_lists(std::vector<YamlDocument> documents);
[[nodiscard]] Status check_manifest_size(std::string_view text, const std::string& file);

// Reads all documents of `text`, in the order in which they must be applied. `file` is its name in messages.
// Errors: kInvalidArgument, naming file, line and column: not YAML, not an object, duplicate keys, unknown
// kind or apiVersion (with those that are supported), neither name nor generateName.
[[nodiscard]] Result<std::vector<ManifestObject>> parse_manifest(std::string_view text,
                                                                 const std::string& file);

// Two objects of the same kind and name in one run would overwrite each other: an error naming both places.
// Sorts into the order of applying.
[[nodiscard]] Status check_together(std::vector<ManifestObject>& objects);

}  // namespace muster::cli
