#pragma once  // cli/exit_code.h: what `muster` exits with; scripts rely on it (docs/cli.md)

namespace muster::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;         // a job failed, an object was not found
inline constexpr int kExitUsage = 2;          // wrong arguments or a wrong manifest
inline constexpr int kExitEnvironment = 3;    // a binary missing, a port in use, a server out of reach
inline constexpr int kExitInterrupted = 130;  // Ctrl-C or SIGTERM

}  // namespace muster::cli
