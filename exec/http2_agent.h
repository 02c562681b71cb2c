#pragma once  // exec/http2_agent.h: one connection of the operator to the Agent: gRPC over HTTP/2, without
              // I/O
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"

struct nghttp2_session;

namespace muster::exec {

// A call takes no more than this: an assignment of ours has about 1 KiB.
inline constexpr std::size_t kRequestMax = std::size_t{256} << 10;
inline constexpr std::uint32_t kStreamsMax = 16;  // open at once: an operator has two, and one that asks

struct AgentCalls {  // both take the bytes of a message
  std::function<Status(std::string_view)> configure;
  std::function<Status(std::string_view)> watch;
};

class AgentConnection {
 public:
  explicit AgentConnection(const AgentCalls& calls);
  ~AgentConnection();
  AgentConnection(const AgentConnection&) = delete;
  AgentConnection& operator=(const AgentConnection&) = delete;

  // Bytes of the peer; false: it breaks the protocol, or there is no memory, and the connection is to be
  // closed.
  [[nodiscard]] bool take(std::string_view bytes);
  // What is to be sent now, to be called again until it is empty; valid until the next call of anything.
  [[nodiscard]] std::string_view give();
  // The status to be told to whoever watches; each stream is sent the newest, not all of them.
  void publish(const std::string& status);
  // Streams end once they have told the newest.
  void finish();
  // Whether nothing more can come or go.
  [[nodiscard]] bool over() const;
  [[nodiscard]] bool watches() const { return watching_ > 0; }

 private:
  struct Stream {
    std::string path, request, reply;  // `reply`: what is left to be sent, gRPC's frame
    bool watches = false, deferred = false, too_long = false;
    std::uint64_t sent = 0;  // the version of the last status
  };
  struct Callbacks;  // nghttp2's, in C

  void answer(std::int32_t id, Stream& stream);
  void refuse(std::int32_t id, Code code, std::string_view message);
  void resume();

  const AgentCalls& calls_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Stream> streams_;
  std::string status_;         // in gRPC's frame
  std::uint64_t version_ = 0;  // of it
  int watching_ = 0;
  bool finishing_ = false;
};

// "a%20b": grpc-message, of which every byte outside of printable ASCII, and "%", is written so.
[[nodiscard]] std::string percent_encoded(std::string_view message);

}  // namespace muster::exec
