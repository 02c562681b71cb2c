#pragma once  // worker/transport/shared_stream.h: data connections between processes of one machine, through
              // memory
#include <memory>

#include "worker/transport/byte_stream.h"

namespace muster::worker {

// Decorators of a proven plain connection that carries bytes from its dialer to its acceptor. Where both ends
// have addresses of one machine the dialer offers a queue in memory (SharedQueue), and the acceptor takes it
// if it can really open it; then the socket carries wake-ups only, and its end. Else bytes go over the socket
// as before. The first bytes of the connection are the offer, 40 of them, or that there is none, as where
// none is left; one that is made counts down.
[[nodiscard]] std::unique_ptr<ByteStream> offer_memory(std::unique_ptr<ByteStream> connection,
                                                       int& offers_left);
[[nodiscard]] std::unique_ptr<ByteStream> take_memory(std::unique_ptr<ByteStream> connection);

}  // namespace muster::worker
