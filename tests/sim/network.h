#pragma once  // tests/sim/network.h: what lies between a replica of the operator and the model API server
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api_http.h"
#include "faults.h"
#include "virtual_threads.h"

namespace muster::sim {

// One replica's connection. Nothing of a replica that is gone gets through any more, nor anything to it.
struct Link {
  int replica = 0;
  bool alive = true;
  Nanos cut_off_until{0};  // no answer comes, and nothing arrives
  std::vector<const void*>
      waits;  // of calls that are under way, in their order: addresses differ from run to run
};

struct Write {  // as the server has judged it
  int replica = 0;
  Nanos begun{0};
  ApiRequest request;
  int status = 0;
};

class Network {
 public:
  Network(VirtualThreads& threads, ApiStore& store, Faults& faults, std::uint64_t seed);

  [[nodiscard]] std::shared_ptr<kube::HttpTransport> connect(std::shared_ptr<Link> link);
  void cut(Link& link);        // for good
  void set_down(Nanos until);  // the API server, for everybody
  void set_quota(Nanos until) { quota_until_ = until; }
  void withdraw_a_right(Nanos until);

  std::function<void(const Link&, const ApiRequest&)> on_begin;  // of a write, by the client's code
  std::function<void(const Link&)> on_freeze;         // this replica's process is to stop for a while, now
  std::function<void(const ApiRequest&)> on_arrival;  // of a write, before it is judged
  std::function<void(const Write&)> on_write;         // once it is judged
  std::function<void(const Link&)> on_crash;          // a crash of this replica is due

 private:
  class Transport;
  struct Call {
    bool done = false;
    Result<kube::HttpResponse> answer = unavailable("no answer");
  };
  struct Watch {
    std::shared_ptr<Link> link;
    std::string resource;
    bool selective = false;  // by a label: only what the operator manages
    std::uint64_t position = 0;
    bool pumping = false, closed = false, ended = false;
    Nanos stalled_until{0};
    std::deque<std::string> inbox;
    Result<kube::HttpResponse> end = kube::HttpResponse{.status = 200, .headers = {}, .body = {}};
  };
  [[nodiscard]] Nanos latency();
  void begin(const Link& link, const ApiRequest& request);
  void dispatch(const std::shared_ptr<Link>& link, Nanos begun, const ApiRequest& request,
                const std::string& body, const std::shared_ptr<Call>& call);
  [[nodiscard]] bool fail_early(const Link& link, const ApiRequest& request,
                                const std::shared_ptr<Call>& call);
  [[nodiscard]] kube::HttpResponse judge(const Link& link, Nanos begun, const ApiRequest& request,
                                         const std::string& body);
  void complete(const std::shared_ptr<Call>& call, Result<kube::HttpResponse> answer, Nanos after);
  void open(const std::shared_ptr<Watch>& watch, const kube::HttpRequest& request);
  void changed(const std::string& resource);
  void pump_later(const std::shared_ptr<Watch>& watch);
  void pump(const std::shared_ptr<Watch>& watch);
  void note_order(const Watch& watch);
  void end(const std::shared_ptr<Watch>& watch, Result<kube::HttpResponse> how);

  VirtualThreads& threads_;
  ApiStore& store_;
  Faults& faults_;
  Random random_;
  Nanos down_until_{0}, quota_until_{0}, withdrawn_until_{0};
  std::string withdrawn_verb_, withdrawn_resource_;
  std::vector<std::shared_ptr<Watch>> watches_;
};

}  // namespace muster::sim
