#pragma once  // local/runtime/prober.h: carries out the probes of one running container on the reactor
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "local/runtime/container_process.h"
#include "local/runtime/probe.h"
#include "local/runtime/reactor.h"

namespace muster::local {

// One check under way: a connection (tcpSocket, httpGet, grpc) or a command (exec). Calls `done` once, or
// never if destroyed.
class ProbeCheck {
 public:
  using Done = std::function<void(bool success, const std::string& output)>;
  virtual ~ProbeCheck() = default;
};

struct ProbeTarget {
  std::string ip;               // of the pod
  Json container;               // its ports by name
  ContainerProcess::Spec exec;  // environment and folder of the container; the command is filled in
  std::function<std::string(const std::string&)> rewrite;  // paths of the manifest to this machine's
};

// Starts the check that `spec` describes, a probe or a lifecycle hook (which may also sleep); `done` may be
// called before it returns.
[[nodiscard]] std::unique_ptr<ProbeCheck> start_check(Reactor& reactor, const Json& spec,
                                                      const ProbeTarget& target, ProbeCheck::Done done);

class Prober {  // lives on the reactor's thread
 public:
  // Every failed check, and every verdict.
  using Heard =
      std::function<void(ProbeKind kind, bool success, ProbeVerdict verdict, const std::string& output)>;

  Prober(Reactor& reactor, ProbeTarget target, Heard heard);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // Startup first, if there is one; liveness and readiness once it has succeeded.
  void start();

 private:
  struct Running {
    Probe probe;
    std::unique_ptr<ProbeCheck> check;
    std::optional<Reactor::TimerId> timer;
  };

  void add(ProbeKind kind, const char* field);
  void add_lasting();
  void schedule(Running& running);
  void check(Running& running);
  void answered(Running& running, bool success, const std::string& output);

  Reactor& reactor_;
  const ProbeTarget target_;
  const Heard heard_;
  std::vector<std::unique_ptr<Running>> running_;
};

}  // namespace muster::local
