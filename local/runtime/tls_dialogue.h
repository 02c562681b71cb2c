#pragma once  // local/runtime/tls_dialogue.h: a dialogue inside TLS: the only home of OpenSSL in this folder
#include <memory>
#include <string>

#include "local/runtime/dialogue.h"

namespace muster::local {

// `inner` over TLS. The server's certificate is not checked, as the kubelet does not check it: a probe asks
// whether the server is well, not who it is.
[[nodiscard]] std::unique_ptr<Dialogue> over_tls(std::unique_ptr<Dialogue> inner);

}  // namespace muster::local
