#pragma once  // cli/get.h: `muster get [KIND] [NAME]`: objects as the API server tabulates them, or whole
#include <string>

namespace muster::cli {

struct QueryOptions {  // what every verb that asks a server takes
  std::string kubeconfig;
  std::string context, cluster, user;  // of the kubeconfig; empty: the current context, and what it names
  std::string name_space;              // empty: the kubeconfig's
};

struct GetOptions {
  QueryOptions query;
  std::string kind;  // empty: DistributedJobs and FederatedRounds
  std::string name;
  std::string output = "table";  // table | json | yaml | name
  std::string selector;
  bool all_namespaces = false;
  bool watch = false;
};

[[nodiscard]] int get(const GetOptions& options);

}  // namespace muster::cli
