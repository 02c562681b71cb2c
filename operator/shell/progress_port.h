#pragma once  // operator/shell/progress_port.h: where programs tell their progress, on every replica
#include <prometheus/registry.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "operator/control/issuer.h"
#include "operator/core/progress_report.h"
#include "operator/shell/ip_port.h"

namespace muster::op {

struct ProgressPlace {
  IpPort listen;
  std::string host;  // by which pods call it, and which the server's certificate names
};
// Of the flags --progress-address ("ip:port") and --progress-url ("https://host:port"; empty: pods call the
// address itself). Error: kInvalidArgument.
[[nodiscard]] Result<ProgressPlace> progress_place(const std::string& address, const std::string& url);

// HTTPS by Kubeflow's progress protocol (docs/progress.md), with the operator's authority. The replica that
// leads takes reports, the others pass them on to it. Anybody may connect, and costs little: see HttpServer.
// Thread-safe.
class ProgressPort {
 public:
  struct Options {
    std::string ip;
    int port = 0;      // 0 takes a free one
    std::string host;  // by which pods call it
    // Where the replica that leads takes them, "ip:port"; empty: none does. May be empty.
    std::function<std::string()> leader{};
  };
  using Take = std::function<ReportAnswer(const ReportTarget& target, std::string_view body)>;

  // Listens; until it has keys, whoever connects is sent away. Errors: kAlreadyExists, kInvalidArgument.
  [[nodiscard]] static Result<std::unique_ptr<ProgressPort>> open(Options options,
                                                                  prometheus::Registry& registry);
  virtual ~ProgressPort() = default;

  [[nodiscard]] virtual int port() const = 0;
  virtual Status use(const Issuer& issuer) = 0;  // from now on
  // This replica leads, and `take` decides; empty: it no longer does. When it returns, the one before is not
  // called any more.
  virtual void lead(Take take) = 0;
};

}  // namespace muster::op
