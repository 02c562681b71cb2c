#pragma once  // local/runtime/pod_names.h: makes names resolve inside pods: hosts files that lie over
              // /etc/hosts there
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"
#include "local/runtime/container_process.h"
#include "local/runtime/host_names.h"

namespace muster::local {

// One hosts file for each namespace: this machine's own entries and HostNames::lines(). Containers see it in
// place of /etc/hosts, in a mount namespace of their own; so it is never replaced but rewritten, and what
// runs already reads the new content. Lives on the reactor's thread.
class PodNames {
 public:
  explicit PodNames(std::filesystem::path folder);
  ~PodNames();
  PodNames(const PodNames&) = delete;
  PodNames& operator=(const PodNames&) = delete;

  // Tries once whether this machine lets a container have such a namespace. Otherwise pods run without
  // names, and problem() says why and what would help.
  void open(const std::filesystem::path& init);
  [[nodiscard]] const std::string& problem() const { return problem_; }

  [[nodiscard]] HostNames& names() { return names_; }
  void settle();  // writes what changed
  // What a container of namespace `ns` needs; empty if names cannot be had.
  [[nodiscard]] std::vector<Bind> binds(const std::string& ns);

 private:
  struct File {
    FileDescriptor fd{};
    std::string content{};
  };
  [[nodiscard]] std::filesystem::path path(const std::string& ns) const { return folder_ / ns / "hosts"; }
  void write(const std::string& ns, File& file);

  const std::filesystem::path folder_;
  std::string machine_;                  // what /etc/hosts held
  std::filesystem::path name_services_;  // replaces nsswitch.conf; empty: need not
  std::string problem_ = "not tried";
  HostNames names_;
  std::map<std::string, File> files_;  // by namespace
};

}  // namespace muster::local
