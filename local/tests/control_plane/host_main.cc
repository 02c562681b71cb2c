// local/tests/control_plane/host_main.cc: a process that runs a control plane and one pod, for tests that
// kill it
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "common/json/fields.h"
#include "common/platform/log.h"
#include "common/platform/signals.h"
#include "local/api/api_server.h"
#include "local/control_plane.h"

// host BINARIES RUNTIME_FOLDER POD_FILE
int main(int argc, char** argv) {
  using namespace muster;
  if (argc != 4) return 64;
  SignalWaiter signals;
  init_log("host");
  auto plane = local::ControlPlane::start({.data_folder = std::string(argv[2]) + "/data",
                                           .binaries = argv[1],
                                           .crds = {},
                                           .run_operator = false,
                                           .runtime_folder = argv[2]});
  if (!plane) {
    std::fprintf(stderr, "%s\n", plane.error().message.c_str());
    return 1;
  }
  std::ifstream file(argv[3]);
  const std::string pod{std::istreambuf_iterator<char>(file), {}};
  if (const auto created = (*plane)->api().client().create("pods", "default", Json::parse(pod)); !created) {
    std::fprintf(stderr, "%s\n", created.error().message.c_str());
    return 1;
  }
  while (!signals.wait(std::chrono::minutes(1))) {
  }
  return (*plane)->stop(deadline_after(local::ControlPlane::kStopTime)) ? 0 : 1;
}
