#pragma once  // kube/cpprest_transport.h: HttpTransport on cpprestsdk; its .cc is the only one that includes
              // it
#include <memory>

#include "kube/http_transport.h"
#include "kube/kube_config.h"

namespace muster::kube {

// Threads of cpprestsdk's pool, which is one for the whole process; its default of 40 stacks is too many.
// Call before the first transport or listener is made, in programs which want another number than 4; later
// calls do nothing.
void set_http_threads(int threads);

// TLS by OpenSSL with the cluster's CA alone (or the system's), client certificates from the identity source,
// HTTP/1.1 with keep-alive. Errors: kInvalidArgument: the server's URL or the CA is not usable.
[[nodiscard]] Result<std::shared_ptr<HttpTransport>> make_cpprest_transport(const ClusterConfig& config);

}  // namespace muster::kube
