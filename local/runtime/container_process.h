#pragma once  // local/runtime/container_process.h: one run of one container: muster-init, the command, its
              // output
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/platform/file_descriptor.h"
#include "local/runtime/init_protocol.h"
#include "local/runtime/reactor.h"

namespace muster::local {

// A file of this machine that a container sees, read-only, where another one is.
struct Bind {
  std::filesystem::path from;
  std::filesystem::path at;  // exists
};

// Lives on the reactor's thread. Destroying it kills what is left of the container.
class ContainerProcess {
 public:
  struct Spec {
    std::filesystem::path init;  // muster-init
    std::vector<std::string> command = {};
    std::vector<std::string> environment = {};  // "NAME=value"
    std::filesystem::path directory;
    std::string hostname = {};  // set: mount and UTS namespaces of its own, with `binds` in them
    std::vector<Bind> binds = {};
  };
  struct Ended {
    bool started = false;
    int status = 0;       // wait status of the command, if it started
    int error = 0;        // errno, if it did not
    int failed_step = 0;  // a StartStep, if it did not
  };
  struct Handlers {
    std::function<void(pid_t)> started;  // the command runs
    std::function<void(std::string_view)>
        output;                        // bytes of stdout and stderr, in the order they were written
    std::function<void(Ended)> ended;  // last: nothing of the container is left; may destroy this object
  };

  // kUnavailable: muster-init cannot be started (names it).
  [[nodiscard]] static Result<std::unique_ptr<ContainerProcess>> start(Reactor& reactor, const Spec& spec,
                                                                       Handlers handlers);
  // Whether this machine lets a container have the namespaces and binds of `spec`; starts no command and
  // blocks for a few milliseconds. The error says what is missing and what would help.
  [[nodiscard]] static Status try_binds(Spec spec);
  ~ContainerProcess();
  ContainerProcess(const ContainerProcess&) = delete;
  ContainerProcess& operator=(const ContainerProcess&) = delete;

  void signal(int number);  // to the command alone, as a kubelet does
  void kill();              // SIGKILL to the command; what it left behind goes with it

 private:
  ContainerProcess(Reactor& reactor, pid_t init, FileDescriptor control, FileDescriptor output,
                   Handlers handlers);
  void read_control();
  [[nodiscard]] bool read_output();  // false: nothing more now
  void finish();

  Reactor& reactor_;
  pid_t init_;
  FileDescriptor control_;
  FileDescriptor output_;
  Handlers handlers_;
  Ended ended_;
};

}  // namespace muster::local
