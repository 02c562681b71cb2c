#pragma once  // pod/status_limits.h: how much a pod tells of itself: its status always fits into one message.
              // Pure
#include <cstddef>

namespace muster {

inline constexpr int kStatusBytesMax = 64 << 10;             // the operator takes no larger message
inline constexpr std::size_t kStatusMessageBytesMax = 4096;  // nor has the termination log room for more
inline constexpr int kStatusWarningsMax = 16;
inline constexpr std::size_t kStatusWarningBytesMax = 1024;
inline constexpr int kStatusHistoryMax = 200;      // points; the CRD allows as many
inline constexpr int kStatusLedgerMax = 8;         // epochs; likewise
inline constexpr int kStatusContributionsMax = 5;  // clients at either end; likewise
inline constexpr int kStatusDevicesMax = 3;        // models that are measured on devices; likewise
static_assert(kStatusMessageBytesMax + kStatusWarningsMax * (kStatusWarningBytesMax + 8) +
                  kStatusHistoryMax * 40 + kStatusLedgerMax * 80 + 2 * kStatusContributionsMax * 60 +
                  kStatusDevicesMax * 80 + 4096 <
              kStatusBytesMax);

}  // namespace muster
