#pragma once  // common/pods/pod_state.h: how far a v1 Pod is, judged by the container that carries its role
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/json/fields.h"

namespace muster {

enum class PodPhase { kPending, kRunning, kSucceeded, kFailed, kUnknown };

struct ContainerEnd {       // the terminated state of the container by which the pod ended
  std::string container{};  // its name; empty: it is the one that carries the role
  std::int64_t exit_code = 0;
  std::string reason;       // Error, OOMKilled, ContainerCannotRun, ...
  std::string message;      // the termination message
  std::string finished_at;  // RFC 3339, or empty
};

struct PodState {
  // Of the role's container. A sidecar changes it neither by its failure nor by running on; an init container
  // whose failure is final has ended the pod, whatever status.phase says so far.
  PodPhase phase = PodPhase::kPending;
  bool runs = true;                 // a container has not ended for good; native sidecars end with the others
  std::optional<ContainerEnd> end;  // why it ended
  std::string waiting_reason, waiting_message;  // of the first container that waits for more than its turn
};

// Annotation of our pods: the name of the container that carries the role, where it is another than the
// role's. By its place alone it is not known: admission webhooks put containers of their own before it.
inline constexpr const char* kContainerAnnotation = "muster.dev/container";

// Tolerates absent and malformed fields.
[[nodiscard]] PodState pod_state(const Json& pod, std::string_view role);

// Of a pod's spec what pod_state reads and the containers' images, for a cache that keeps no more of it.
[[nodiscard]] Json spec_for_pod_state(const Json& spec);

// Name of the container of a pod that carries the role: the one that kContainerAnnotation names, if there is
// one, else that of role_container; the role, where the pod tells of no containers.
[[nodiscard]] std::string role_container_name(const Json& pod, std::string_view role);

// Index in a template's spec.containers of the container that carries the role: the one named after it, else
// the first.
[[nodiscard]] std::size_t role_container(const Json& containers, std::string_view role);

// "code 137 (SIGKILL)", "code 137 (out of memory)", "code 1".
[[nodiscard]] std::string exit_words(const ContainerEnd& end);

// `what` with the last words of a container behind it. One line is a sentence: "WHAT: the sentence". More is
// the tail of a log, as a kubelet takes it for last words: its last two lines follow, each on a line of its
// own, without the time stamps of Muster's log.
[[nodiscard]] std::string with_last_words(std::string what, std::string_view message);

// `what` with "; NOTE" behind its first line.
[[nodiscard]] std::string with_note(std::string what, std::string_view note);

}  // namespace muster
