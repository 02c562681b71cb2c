#pragma once  // device/shell/wire.h: the channel to the aggregator, and what its answers mean
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/base/clock.h"
#include "device/client_round.h"
#include "pod/credentials.h"
#include "proto/federation.pb.h"

namespace muster::device {

// To the aggregator of the credentials' object alone, which proves its name to us through any proxy. `proxy`:
// of HTTP, asked to CONNECT; "http://[user:password@]host:port", or empty: none, whatever the environment
// says.
[[nodiscard]] std::shared_ptr<grpc::Channel> make_channel(const std::string& address,
                                                          const Credentials& credentials,
                                                          const std::string& proxy = {});

// Of a check-in that was answered at `now`. Spans of time off the wire are bounded.
[[nodiscard]] Event event_of(const grpc::Status& status, const federation::v1::CheckInReply& reply,
                             Instant now);

}  // namespace muster::device
