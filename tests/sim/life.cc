// tests/sim/life.cc: the phases of a life
#include "life.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

#include "garbage.h"
#include "network.h"
#include "nodes.h"
#include "objects.h"
#include "programs.h"
#include "replica.h"
#include "users.h"

namespace muster::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kTick{1};
constexpr minutes kSteadyWithin{30};  // backoffs of clients are up to five minutes, and nodes come back first
constexpr minutes kFinishWithin{30};
constexpr seconds kRests{45};             // without a write, when all is as it is to be; news are 40 s late
constexpr seconds kBackoffsAreOver{330};  // and deadlines
constexpr seconds kQuiet{60};             // of which an election takes 17
constexpr seconds kRemoved{30};           // as long as pods may take to end
constexpr minutes kBackAfter{10};         // an outage: time for what it has put off

// What a trace tells of an object.
std::string words_on(const std::string& resource, const Json& object) {
  const Json& status = member(object, "status");
  if (resource == "leases") return fmt::format("of \"{}\"", holder_of(object));
  if (resource == "nodes") {
    const bool lost = !member(object, "spec", "taints").is_null();
    return fmt::format("{}{}", is_broken(object) ? kNodeProblem : "", lost ? " unreachable" : "");
  }
  std::string words = "phase " + text(member(status, "phase"));
  if (resource == "pods") return fmt::format("{} on \"{}\"", words, text(member(object, "spec", "nodeName")));
  if (!status.contains("incarnation")) return words;
  const op::api::JobStatus known = op::api::status_from_json(status);
  words += fmt::format(" incarnation {} restarts {} disruptions {}", known.incarnation, known.restarts,
                       known.disruptions);
  const auto* again = op::api::find_condition(known.conditions, "Restarting");
  return again != nullptr && again->status ? words + ": " + again->message : words;
}

class Life {
 public:
  Life(const LifeOptions& options, Tally& tally);
  LifeReport live();

 private:
  void chaos();
  void calm();
  void ride_out();
  void finish();
  void remove();
  void tick();
  void replicas_misbehave();
  void start_replica();
  void misbehave(Replica& replica);
  void freeze(int process);
  void crash(Replica& replica);
  void replace_leader();
  void end_replica();
  using Check = Checker::Findings (Checker::*)() const;
  bool rests_within(std::chrono::nanoseconds limit, Check check);
  void expect(Check check);
  void stays_quiet(const char* when);
  void drop_orphans();
  void watch_store();
  [[nodiscard]] bool elects() const { return replicas_wanted_ > 1; }
  [[nodiscard]] bool failed() const { return !checker_.violations().empty(); }
  [[nodiscard]] bool one_in(std::uint64_t n) { return random_.below(n) == 0; }

  LifeOptions options_;
  Tally& tally_;
  Random random_;
  VirtualThreads threads_;
  Faults faults_;
  ApiStore store_;
  Checker checker_;
  Programs programs_;
  Nodes nodes_;
  Network network_;
  Users users_;
  std::vector<std::unique_ptr<Replica>> replicas_;  // also those that are ending
  std::size_t replicas_wanted_ = 1;
  Nanos next_replica_{0};
  std::uint64_t collected_ = 0;  // the version of the last round of garbage collection
  bool users_act_ = true;
  bool over_ = false;
  LifeReport report_;
};

std::uint64_t part(std::uint64_t seed, const char* name) {
  return hash_key(seed, std::hash<std::string>{}(name));
}

Life::Life(const LifeOptions& options, Tally& tally)
    : options_(options),
      tally_(tally),
      random_(part(options.seed, "life")),
      threads_(part(options.seed, "threads")),
      faults_(part(options.seed, "faults"), tally),
      store_([this] { return threads_.wall(); }),
      checker_(threads_, store_),
      programs_(threads_, faults_, part(options.seed, "programs")),
      nodes_(threads_, store_, programs_, faults_, part(options.seed, "nodes")),
      network_(threads_, store_, faults_, part(options.seed, "network")),
      users_(store_, tally, part(options.seed, "users"), options.faults,
             [this](const std::string& uid) { checker_.edited(uid); }) {
  if (!options.faults) faults_.stop();
  if (!one_in(3)) replicas_wanted_ = 2;
  store_.serves_groups = one_in(4);
  (void)store_.create("secrets", authority_secret(threads_.wall()));
  programs_.on_status = [this](const std::string& uid) {
    for (const auto& replica : replicas_) replica->told(uid);
  };
  programs_.on_configured = [this](const std::string& job, const control::v1::Assignment& assignment) {
    checker_.configured(job, assignment);
  };
  programs_.on_violation = [this](const std::string& what) { checker_.violation(what); };
  if (elects())
    network_.on_begin = [this](const Link& link, const ApiRequest& request) {
      checker_.begins(link.replica, request);
    };
  network_.on_freeze = [this](const Link& link) { freeze(link.replica); };
  network_.on_arrival = [this](const ApiRequest& request) { checker_.arrives(request); };
  network_.on_write = [this](const Write& write) {
    checker_.wrote(write);
    if (options_.trace && write.request.resource != "leases")
      std::printf("%12.3f  replica %d: %s %s %s -> %d\n",
                  std::chrono::duration<double>(threads_.now()).count(), write.replica,
                  write.request.verb.c_str(), write.request.resource.c_str(), write.request.key().c_str(),
                  write.status);
  };
  network_.on_crash = [this](const Link& link) {
    for (const auto& replica : replicas_)
      if (replica->process() == link.replica) crash(*replica);
  };
  watch_store();
}

void Life::watch_store() {
  store_.listen([this](const std::string& resource, const Json* before, const Json* after) {
    const Json& object = after == nullptr ? *before : *after;
    const std::string version = after == nullptr ? "gone" : meta_text(*after, "resourceVersion");
    report_.fingerprint =
        hash_key(report_.fingerprint, std::hash<std::string>{}(resource + key_of(object) + version),
                 threads_.now().count());
    if (!options_.trace || resource == "events") return;
    if (resource == "leases" && before != nullptr && holder_of(*before) == holder_of(object)) return;
    const std::string words = words_on(resource, object);
    std::printf("%12.3f  %s %s %s: %s%s%s\n", std::chrono::duration<double>(threads_.now()).count(),
                resource.c_str(), key_of(object).c_str(), version.c_str(), words.c_str(),
                is_terminating(object) ? " terminating" : "", before == nullptr ? " (new)" : "");
  });
}

void Life::start_replica() {
  replicas_.push_back(std::make_unique<Replica>(
      Replica::World{threads_, network_, programs_, nodes_, faults_}, options_.planted, elects()));
}

void Life::crash(Replica& replica) {
  if (replica.crashed()) return;
  replica.crash();
  next_replica_ = threads_.now() + seconds(random_.below(10));
}

void Life::freeze(int process) {
  threads_.pause(process);
  threads_.after(seconds(1 + random_.below(40)), [this, process] { threads_.resume(process); });
}

void Life::misbehave(Replica& replica) {
  if (faults_.strikes(Fault::kOperatorCrash)) return crash(replica);
  if (faults_.strikes(Fault::kOperatorPaused)) freeze(replica.process());
  if (faults_.strikes(Fault::kOperatorCutOff))
    replica.cut_off(threads_.now() + seconds(1 + random_.below(40)));
  if (elects() && faults_.strikes(Fault::kOperatorStopped)) replica.stop();
}

void Life::replicas_misbehave() {
  std::erase_if(replicas_, [](const auto& replica) { return replica->ending() && replica->gone(); });
  std::size_t present = 0;
  for (const auto& replica : replicas_) {
    if (replica->ending()) continue;
    ++present;
    misbehave(*replica);
  }
  if (present < replicas_wanted_ && threads_.now() >= next_replica_) start_replica();
}

void Life::tick() {
  if (over_) return;
  replicas_misbehave();
  if (faults_.on()) nodes_.misbehave();
  if (users_act_) users_.act();
  if (one_in(2) && store_.version() != collected_) {
    collected_ = store_.version();
    collect_garbage(store_);
  }
  if (faults_.strikes(Fault::kServerDown)) network_.set_down(threads_.now() + seconds(1 + random_.below(60)));
  if (faults_.strikes(Fault::kQuota)) network_.set_quota(threads_.now() + seconds(1 + random_.below(60)));
  if (faults_.strikes(Fault::kRightWithdrawn))
    network_.withdraw_a_right(threads_.now() + seconds(1 + random_.below(60)));
  threads_.after(kTick, [this] { tick(); });
}

void Life::chaos() {
  const std::uint64_t objects = 1 + random_.below(2);
  for (std::uint64_t i = 0; i < objects; ++i) users_.create();
  tick();
  const Nanos until = threads_.now() + seconds(20 + random_.below(options_.faults ? 100 : 5));
  threads_.run(until, [this] { return failed(); });
}

// Nothing is written for a while, and nothing is missing; or for so long that nothing will come any more.
bool Life::rests_within(std::chrono::nanoseconds limit, Check check) {
  const Nanos until = threads_.now() + limit;
  std::uint64_t writes = checker_.writes();
  Nanos since = threads_.now();
  while (!failed() && threads_.now() < until) {
    threads_.run(threads_.now() + seconds(5), [this] { return failed(); });
    if (checker_.writes() != writes) {
      writes = checker_.writes();
      since = threads_.now();
    }
    const auto quiet = threads_.now() - since;
    if (quiet >= kBackoffsAreOver) return true;
    if (quiet >= kRests && !checker_.awaits_a_deadline() && (checker_.*check)().empty()) return true;
  }
  return false;
}

void Life::expect(Check check) {
  for (const std::string& finding : (checker_.*check)()) checker_.violation(finding);
}

// All end, or the leader hands over to a replica whose caches are warm.
void Life::replace_leader() {
  const bool hands_over = elects() && one_in(2);
  for (const auto& replica : replicas_) {
    if (!hands_over) crash(*replica);
    if (hands_over && replica->works()) replica->stop();
  }
}

// A second pass over a state that is settled writes nothing, also by a replica that has just begun.
void Life::stays_quiet(const char* when) {
  const std::uint64_t writes = checker_.writes();
  replace_leader();
  threads_.run(threads_.now() + kQuiet, [this] { return failed(); });
  if (checker_.writes() != writes)
    checker_.violation(
        fmt::format("{}: a new replica writes over a settled state: {}", when, checker_.last_write()));
}

void Life::drop_orphans() {
  for (const char* resource : {"pods", "services", "secrets", "podgroups"})
    for (const Json* object : store_.all(resource))
      if (meta_text(*object, "namespace") == "team" && !object->at("metadata").contains("ownerReferences"))
        threads_.after(Nanos(0),
                       [this, resource, key = key_of(*object)] { (void)store_.remove(resource, key, {}); });
}

// No more faults; programs run, and do not end.
void Life::calm() {
  users_act_ = false;
  faults_.stop();
  network_.set_down(threads_.now());
  network_.set_quota(threads_.now());
  network_.withdraw_a_right(threads_.now());
  for (const auto& replica : replicas_) replica->cut_off(threads_.now());
  nodes_.heal();
  drop_orphans();
  users_.resume_all();
  programs_.hold(true);
  if (!rests_within(kSteadyWithin, &Checker::not_steady) && !failed())
    checker_.violation("writes go on, long after the last fault: " + checker_.last_write());
  if (failed()) return;
  expect(&Checker::not_steady);
  stays_quiet("while programs run");
  if (!failed() && options_.outage.count() > 0) ride_out();
}

// The API server is away for a while, and with it all news; the pods run on.
void Life::ride_out() {
  const auto pods = [this] {
    std::set<std::string> uids;
    for (const Json* pod : store_.all("pods")) uids.insert(meta_text(*pod, "uid"));
    return uids;
  };
  const std::set<std::string> before = pods();
  const std::uint64_t writes = checker_.writes();
  tally_.count("pods through an outage", before.size());
  network_.set_down(threads_.now() + options_.outage);
  threads_.run(threads_.now() + options_.outage, [this] { return failed(); });
  if (std::ranges::all_of(replicas_, [](const auto& replica) { return replica->ending(); }))
    checker_.violation("an outage ended the operator");
  threads_.run(threads_.now() + kBackAfter, [this] { return failed(); });
  if (pods() != before) checker_.violation("an outage of the API server replaced pods");
  if (checker_.writes() != writes)
    checker_.violation("an outage of the API server made writes: " + checker_.last_write());
  if (failed()) return;
  expect(&Checker::not_steady);
}

void Life::finish() {
  programs_.hold(false);
  if (!rests_within(kFinishWithin, &Checker::not_finished) && !failed())
    checker_.violation("writes go on, long after the last program: " + checker_.last_write());
  if (failed()) return;
  expect(&Checker::not_finished);
  stays_quiet("after the end");
}

void Life::remove() {
  users_.remove_all();
  threads_.run(threads_.now() + kRemoved);
  drop_orphans();
  threads_.run(threads_.now() + kRemoved);
  expect(&Checker::left_over);
}

void Life::end_replica() {
  over_ = true;
  for (const auto& replica : replicas_) replica->crash();
  threads_.run(threads_.now() + minutes(30), [this] {
    return std::ranges::all_of(replicas_, [](const auto& replica) { return replica->gone(); });
  });
}

LifeReport Life::live() {
  chaos();
  for (const auto phase : {&Life::calm, &Life::finish, &Life::remove})
    if (!failed()) (this->*phase)();
  end_replica();
  report_.violations = checker_.violations();
  return report_;
}

}  // namespace

LifeReport live(const LifeOptions& options, Tally& tally) { return Life(options, tally).live(); }

}  // namespace muster::sim
