#pragma once  // tests/cli/builders.h: objects as the API server would send them
#include <string>
#include <utility>

#include "common/json/fields.h"

namespace muster::cli::testing {

struct JobBuilder {
  Json json = Json::parse(R"({
    "apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJob",
    "metadata": {"name": "ring", "namespace": "default", "uid": "u1"},
    "spec": {"workers": {"replicas": 4}, "training": {"model": {"name": "cnn"}, "dataset": {"name": "fashion-mnist"},
             "checkpoint": {"path": "/checkpoints/ring"}}},
    "status": {"phase": "Running", "ready": "4/4"}})");

  JobBuilder& phase(const std::string& phase) {
    json["status"]["phase"] = phase;
    return *this;
  }
  JobBuilder& step(int step, int total) {
    json["status"]["progress"]["step"] = step;
    json["status"]["progress"]["totalSteps"] = total;
    return *this;
  }
  JobBuilder& progress(const std::string& name, Json value) {
    json["status"]["progress"][name] = std::move(value);
    return *this;
  }
  JobBuilder& restarts(int count) {
    json["status"]["restarts"] = count;
    return *this;
  }
  JobBuilder& condition(const std::string& type, const std::string& reason, const std::string& message) {
    json["status"]["conditions"].push_back(
        {{"type", type}, {"status", "True"}, {"reason", reason}, {"message", message}});
    return *this;
  }
};

inline JobBuilder job() { return {}; }

inline JobBuilder federated() {
  JobBuilder builder;
  builder.json["kind"] = "FederatedRound";
  builder.json["metadata"] = {{"name", "fedavg"}, {"namespace", "default"}, {"uid", "u2"}};
  builder.json["spec"] = Json::parse(R"({"rounds": 50, "clients": {"count": 100},
      "training": {"model": {"name": "mlp"}, "dataset": {"name": "synthetic"}},
      "aggregator": {"storage": {"path": "/model"}}})");
  return builder;
}

struct PodBuilder {
  Json json = Json::parse(R"({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "ring-worker-0", "namespace": "default", "uid": "p0",
      "labels": {"muster.dev/job-name": "ring", "muster.dev/role": "worker", "muster.dev/index": "0"}},
    "status": {"phase": "Running"}})");

  PodBuilder& index(int index) {
    json["metadata"]["name"] = "ring-worker-" + std::to_string(index);
    json["metadata"]["uid"] = "p" + std::to_string(index);
    json["metadata"]["labels"]["muster.dev/index"] = std::to_string(index);
    return *this;
  }
  PodBuilder& ended(int exit_code, const std::string& message) {
    json["status"]["phase"] = exit_code == 0 ? "Succeeded" : "Failed";
    json["status"]["containerStatuses"] =
        Json::array({{{"name", "worker"},
                      {"state",
                       {{"terminated",
                         {{"exitCode", exit_code},
                          {"reason", exit_code == 0 ? "Completed" : "Error"},
                          {"message", message}}}}}}});
    return *this;
  }
};

inline PodBuilder pod() { return {}; }

// The last words of a worker, as protobuf writes them: 64-bit integers are strings.
inline std::string last_words(int rank, const std::string& digest, std::uint64_t bytes) {
  return Json{{"membership", "1"},
              {"phase", "PHASE_SUCCEEDED"},
              {"worker",
               {{"rank", rank},
                {"step", "100"},
                {"totalSteps", "100"},
                {"loss", 0.25},
                {"accuracy", 0.9},
                {"payloadBytesSent", std::to_string(bytes)},
                {"payloadBytesExpected", "600"},
                {"parametersSha256", digest}}}}
      .dump();
}

}  // namespace muster::cli::testing
