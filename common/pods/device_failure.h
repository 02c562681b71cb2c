#pragma once  // common/pods/device_failure.h: the words by which a worker ends because a device of its pod
              // has failed; the operator reads them in its last words
#include <string>
#include <string_view>

namespace muster {

// "the device GPU-7f3a has failed: XID 79, it has fallen off the bus; its pod needs another".
[[nodiscard]] std::string failed_device_words(std::string_view device, std::string_view why);
// Only of words that begin so: those of peers quote them.
[[nodiscard]] bool tells_of_failed_device(std::string_view words);

}  // namespace muster
