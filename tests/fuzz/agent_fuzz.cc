// tests/fuzz/agent_fuzz.cc: what muster-exec takes from a connection, HTTP/2 and protobuf by hand
#include "exec/http2_agent.h"
#include "exec/machine.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace muster;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // As messages, and as a connection that brings them.
  static_cast<void>(exec::read_assignment(bytes));
  static_cast<void>(exec::read_watch_request(bytes));
  exec::Machine machine("u", "p", Instant{});
  const exec::AgentCalls calls{.configure = [&](std::string_view message) -> Status {
                                 MUSTER_ASSIGN(const auto assignment, exec::read_assignment(message));
                                 MUSTER_ASSIGN(const auto effects, machine.assign(assignment, Instant{}));
                                 MUSTER_CHECK(effects.size() <= 1);
                                 return {};
                               },
                               .watch = [&](std::string_view message) -> Status {
                                 MUSTER_ASSIGN(const auto request, exec::read_watch_request(message));
                                 return machine.check(request);
                               }};
  exec::AgentConnection connection(calls);
  connection.publish(exec::write_status(machine.told()));
  std::size_t given = 0;
  const auto drain = [&] {
    for (std::string_view out = connection.give(); !out.empty(); out = connection.give()) given += out.size();
  };
  const std::size_t half = size / 2;
  bool goes_on = connection.take(bytes.substr(0, half));
  drain();
  connection.publish(exec::write_status(machine.told()));
  goes_on = goes_on && connection.take(bytes.substr(half));
  connection.finish();
  drain();
  MUSTER_CHECK(given < (std::size_t{1} << 20));  // no small input makes a large answer
  return 0;
}
