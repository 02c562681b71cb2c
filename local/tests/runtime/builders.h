#pragma once  // local/tests/runtime/builders.h: pods for tests of the runtime
#include <unistd.h>

#include <filesystem>
#include <string>

#include "common/json/fields.h"
#include "tests/support/temporary_folder.h"

namespace muster::local {

class PodBuilder {
 public:
  explicit PodBuilder(const std::string& name) {
    pod_ = {{"apiVersion", "v1"},
            {"kind", "Pod"},
            {"metadata", {{"name", name}, {"namespace", "test"}, {"uid", "uid-" + name}}},
            {"spec",
             {{"nodeName", "muster-local"},
              {"restartPolicy", "Never"},
              {"terminationGracePeriodSeconds", 5},
              {"containers", Json::array()}}}};
  }
  PodBuilder& shell(const std::string& script, const std::string& name = "main") {
    return container({{"name", name}, {"image", "busybox:latest"}, {"command", {"sh", "-c", script}}});
  }
  PodBuilder& container(Json spec) {
    pod_["spec"]["containers"].push_back(std::move(spec));
    return *this;
  }
  PodBuilder& init(const std::string& name, const std::string& script, bool sidecar = false) {
    Json spec{{"name", name}, {"image", "busybox:latest"}, {"command", {"sh", "-c", script}}};
    if (sidecar) spec["restartPolicy"] = "Always";
    pod_["spec"]["initContainers"].push_back(std::move(spec));
    return *this;
  }
  PodBuilder& restart(const std::string& policy) { return set("restartPolicy", policy); }
  PodBuilder& set(const std::string& field, Json value) {
    pod_["spec"][field] = std::move(value);
    return *this;
  }
  PodBuilder& on_main(const std::string& field, Json value) {
    pod_["spec"]["containers"][0][field] = std::move(value);
    return *this;
  }
  operator Json() const { return pod_; }  // NOLINT: implicit by design

 private:
  Json pod_;
};

}  // namespace muster::local
