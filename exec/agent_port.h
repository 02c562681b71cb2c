#pragma once  // exec/agent_port.h: where the operator reaches muster-exec: TLS of both ends on one port
#include <poll.h>

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "exec/http2_agent.h"

struct ssl_ctx_st;

namespace muster::exec {

// One thread, and nothing of it blocks. Whoever connects has kStrangerPatience to prove that he is the
// operator, by a certificate of the pod's authority. There is room for kConnectionsMax who have, and
// kStrangersMax who have not: of these the oldest of the address that has most goes first. Nobody else gets a
// byte of HTTP/2 taken.
class AgentPort {
 public:
  struct Options {
    std::string ip;
    int port = 0;             // 0: a free one
    std::string keys_folder;  // tls.key, tls.crt, ca.crt
    std::string dns_name;     // that the certificate must name: this pod's
  };
  static constexpr std::size_t kConnectionsMax = 16;
  static constexpr std::size_t kStrangersMax = 64;
  static constexpr std::chrono::seconds kStrangerPatience{5};

  // Errors name the file or the address and the remedy. kUnavailable: the port is in use, or its address is
  // not there yet; all others: what a restart does not heal.
  [[nodiscard]] static Result<std::unique_ptr<AgentPort>> open(const Options& options, AgentCalls calls);
  ~AgentPort();
  AgentPort(const AgentPort&) = delete;
  AgentPort& operator=(const AgentPort&) = delete;

  [[nodiscard]] int port() const { return port_; }
  // What to wait for; `served` takes it back after poll().
  void wanted(std::vector<pollfd>& into) const;
  void served(const std::vector<pollfd>& seen, Instant now);
  [[nodiscard]] std::optional<Instant> next_deadline() const;

  // By the operator, whose end is noticed within some two minutes also where it cannot say so.
  [[nodiscard]] bool is_watched() const;
  void publish(const std::string& status);
  // Tells those who watch the newest, and ends their streams; true once all of it has left.
  [[nodiscard]] bool finish(Instant now);

 private:
  class Connection;
  explicit AgentPort(AgentCalls calls);
  Status load_keys(const Options& options);
  Status listen(const Options& options);
  void accept(Instant now);
  void make_room();

  AgentCalls calls_;
  ssl_ctx_st* context_ = nullptr;
  int listener_ = -1;
  int port_ = 0;
  std::string status_;
  std::list<std::unique_ptr<Connection>> connections_;  // the oldest first
};

}  // namespace muster::exec
