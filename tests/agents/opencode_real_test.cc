// The real opencode, in a container as the product makes them (read-only, no capability, no way out), talking
// to the scripted model of scripts/demo-model. Needs the engine, agentmesh/sandbox:latest and python3.

#include "agents/adapter.h"
#include "base/files.h"
#include "base/offload.h"
#include "base/process.h"
#include "net/http_client.h"

#include <filesystem>
#include <fstream>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::agents {
namespace {

using nlohmann::json;
using Steady = std::chrono::steady_clock;
namespace fs = std::filesystem;

constexpr std::string_view kImage = "agentmesh/sandbox:latest";
constexpr Millis kStart{60'000};  // the facts' ready_limit
constexpr Millis kTurn{30'000};   // for a turn of the scripted model, on a loaded machine
constexpr Millis kDeliver{15'000};

class RealOpencodeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (ask("GET", "/images/" + std::string(kImage) + "/json").first != 200) {
      GTEST_SKIP() << "no image " << kImage << ": agentmesh image build";
    }
    char name[] = "/tmp/agentmesh-real-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    root_ = name;
    for (const char* folder : {"home", "run", "work"}) ASSERT_TRUE(make_dir(root_ / folder, 0700));
    name_ = fmt::format("test-agents-real-{}-{}", getpid(), ++count_);
    make_network();
    start_model();
  }

  void TearDown() override {
    link_.reset();
    ask("DELETE", "/containers/" + name_ + "?force=1");
    ask("DELETE", "/networks/" + name_);
    if (model_ > 0) kill(model_, SIGKILL);
    if (!root_.empty()) fs::remove_all(root_);
  }

  // ---- the engine

  std::pair<int, json> ask(std::string method, std::string path, json body = nullptr) {
    net::HttpRequest request{.method = std::move(method), .url = "http://docker/v1.41" + path};
    request.unix_socket = "/var/run/docker.sock";
    if (!body.is_null()) {
      request.headers.push_back({"Content-Type", "application/json"});
      request.body = body.dump();
    }
    auto answer = wait_for(http_.send(std::move(request)), Millis{40'000});
    if (!answer) return {0, describe(answer.error())};
    return {answer->status, json::parse(answer->body, nullptr, false)};
  }

  void make_network() {
    ASSERT_EQ(ask("POST", "/networks/create", {{"Name", name_}, {"Internal", true}}).first, 201);
    const auto [status, network] = ask("GET", "/networks/" + name_);
    ASSERT_EQ(status, 200);
    gateway_ = network["IPAM"]["Config"][0]["Gateway"].get<std::string>();
    gateway_ = gateway_.substr(0, gateway_.find('/'));
  }

  void start_model() {
    // build/PRESET/tests/real_agents
    const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "../../../scripts/demo-model";
    const auto pid = start_detached({.argv = {program.string(), "--bind", gateway_, "--port", "0", "--log",
                                              (root_ / "model.log").string()},
                                     .env = current_environment(),
                                     .output = root_ / "model.out"});
    ASSERT_TRUE(pid) << describe(pid.error());
    model_ = *pid;
    ASSERT_TRUE(eventually(Millis{10'000}, [&] { return !model_url().empty(); }));
  }
  std::string model_url() const {
    std::string url;
    std::ifstream(root_ / "model.out") >> url;
    return url;
  }

  void start_agent(Permissions permissions, Conversation conversation) {
    LaunchRequest wanted{.name = *AgentName::parse("real")};
    wanted.permissions = permissions;
    wanted.conversation = conversation;
    wanted.model = "demo/scripted";
    wanted.provider.base_url = model_url();
    wanted.http_port = kSandboxHttpPort;
    const auto plan = adapter().plan(wanted);
    ASSERT_TRUE(plan) << describe(plan.error());
    json env = json::array({"IS_SANDBOX=1"});
    for (const auto& [key, value] : plan->env) env.push_back(key + "=" + value);
    const auto bind = [&](const char* from, const char* to) { return (root_ / from).string() + ":" + to; };
    const json host{
        {"Init", true},
        {"ReadonlyRootfs", true},
        {"CapDrop", {"ALL"}},
        {"SecurityOpt", {"no-new-privileges"}},
        {"Memory", adapter().facts().memory_bytes},
        {"MemorySwap", adapter().facts().memory_bytes},
        {"PidsLimit", 512},
        {"NetworkMode", name_},
        {"Tmpfs", {{"/tmp", "exec"}, {"/run", ""}}},
        {"Binds", {bind("home", "/home/agent"), bind("run", "/run/agentmesh"), bind("work", "/workspace")}}};
    const json spec{{"Image", kImage}, {"Cmd", plan->argv}, {"Env", env},        {"User", "0:0"},
                    {"Tty", true},     {"OpenStdin", true}, {"HostConfig", host}};
    ASSERT_EQ(ask("POST", "/containers/create?name=" + name_, spec).first, 201);
    ASSERT_EQ(ask("POST", "/containers/" + name_ + "/start").first, 204);
    start_link(conversation);
  }

  void start_link(Conversation conversation) {
    link_.reset();
    seen_.clear();
    LinkContext context{.executor = io_.get_executor(),
                        .http = http_,
                        .clock = clock_,
                        .offload = offload_,
                        .run_dir = root_ / "run"};
    context.conversation = conversation;
    link_ = adapter().link(std::move(context), [this](Signal signal) {
      if (signal.kind != SignalKind::activity) seen_.push_back(std::move(signal));
    });
    ASSERT_TRUE(link_->start());
    ASSERT_TRUE(eventually(kStart, [&] { return saw(SignalKind::ready); })) << story();
  }

  // ---- waiting

  template <class Condition>
  bool eventually(Millis limit, Condition condition) {
    const auto deadline = Steady::now() + limit;
    while (!condition()) {
      if (Steady::now() > deadline) return false;
      io_.restart();
      io_.run_one_for(Millis{20});
    }
    return true;
  }
  template <class T>
  T wait_for(boost::asio::awaitable<T> work, Millis limit) {
    std::optional<T> result;
    boost::asio::co_spawn(io_, std::move(work), [&](std::exception_ptr problem, T value) {
      if (!problem) result = std::move(value);
    });
    eventually(limit, [&] { return result.has_value(); });
    return result ? std::move(*result)
                  : T(std::unexpected(Error{ErrorCode::timeout, "test", "no answer", ""}));
  }

  // ---- what happened

  const Adapter& adapter() { return **find_adapter("opencode"); }
  std::string open_prompt() const {
    std::string id;
    for (const Signal& signal : seen_) {
      if (signal.kind == SignalKind::permission_asked) id = signal.id;
    }
    return id;
  }
  bool saw(SignalKind kind) const {
    return std::ranges::any_of(seen_, [&](const Signal& signal) { return signal.kind == kind; });
  }
  bool eventually_saw(SignalKind kind) {
    return eventually(kTurn, [&] { return saw(kind); });
  }
  std::string story() const {
    std::string text;
    for (const Signal& signal : seen_)
      text += fmt::format("{} ({}) {}\n", to_string(signal.kind), signal.source, signal.detail);
    return text;
  }
  std::size_t position(SignalKind kind) const {
    return static_cast<std::size_t>(
        std::ranges::find_if(seen_, [&](const Signal& signal) { return signal.kind == kind; }) -
        seen_.begin());
  }
  Delivery say(std::string id, std::string text, Attempt attempt) {
    const auto delivery = wait_for(
        link_->deliver({.id = std::move(id), .text = std::move(text), .limit = kDeliver, .attempt = attempt}),
        Millis{40'000});
    return delivery ? *delivery : Delivery{DeliveryResult::unknown, describe(delivery.error())};
  }
  DeliveryResult say(std::string id, std::string text) {
    const Delivery delivery = say(std::move(id), std::move(text), Attempt::first);
    if (delivery.result != DeliveryResult::delivered) std::cout << "why: " << delivery.why << "\n";
    return delivery.result;
  }
  // How many requests brought the model this text as the newest message of the person.
  int reached_model(std::string_view text) const {
    std::ifstream log(root_ / "model.log");
    int count = 0;
    for (std::string line; std::getline(log, line);) {
      const json request = json::parse(line, nullptr, false);
      count += request.is_object() && request["kind"] == "user" &&
               request["user"].get<std::string>().contains(text);
    }
    return count;
  }

  boost::asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  Offload offload_;
  SystemClock clock_;
  fs::path root_;
  std::string name_;
  std::string gateway_;
  int model_ = 0;
  std::unique_ptr<Link> link_;
  std::vector<Signal> seen_;
  static inline int count_ = 0;
};

TEST_F(RealOpencodeTest, AMessageReachesTheModelOnceAndTheTurnIsSeen) {
  start_agent(Permissions::open, Conversation::fresh);
  ASSERT_TRUE(eventually_saw(SignalKind::idle)) << story();

  const std::string text = "one; two\nthree \"four\" \xC3\xA9 MARK-1;";
  ASSERT_EQ(say("itm_1", text), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::turn_ended)) << story();
  EXPECT_LT(position(SignalKind::busy), position(SignalKind::turn_ended));
  EXPECT_EQ(seen_.back().kind, SignalKind::idle);
  EXPECT_TRUE(link_->session_id());
  EXPECT_EQ(reached_model(text), 1);

  // A daemon that died after sending asks again with the same id.
  EXPECT_EQ(say("itm_1", text, Attempt::repeated).result, DeliveryResult::delivered);
  // One that died before sending, too.
  EXPECT_EQ(say("itm_2", "MARK-2", Attempt::repeated).result, DeliveryResult::delivered);
  ASSERT_TRUE(eventually(kTurn, [&] { return reached_model("MARK-2") == 1; }));

  // While it works a message waits in its conversation, and is read once.
  ASSERT_EQ(say("itm_3", "SLOW: 4"), DeliveryResult::delivered);
  ASSERT_EQ(say("itm_4", "MARK-4"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually(kTurn, [&] { return reached_model("MARK-4") == 1; }));
  EXPECT_EQ(reached_model("MARK-1"), 1);

  // A daemon restart: a new line to the same agent knows its state without any event.
  const auto session = link_->session_id();
  start_link(Conversation::continue_last);
  ASSERT_TRUE(eventually_saw(SignalKind::idle)) << story();
  EXPECT_EQ(link_->session_id(), session);

  // A crash: the conversation goes on, and what was said before is found.
  ASSERT_EQ(ask("DELETE", "/containers/" + name_ + "?force=1").first, 204);
  ASSERT_TRUE(eventually_saw(SignalKind::unreadable)) << story();
  EXPECT_EQ(say("itm_5", "nobody is there"), DeliveryResult::blocked);
  start_agent(Permissions::open, Conversation::continue_last);
  EXPECT_EQ(link_->session_id(), session);
  EXPECT_EQ(say("itm_4", "MARK-4", Attempt::repeated).result, DeliveryResult::delivered);
  ASSERT_EQ(say("itm_6", "MARK-6"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually(kTurn, [&] { return reached_model("MARK-6") == 1; }));
  EXPECT_EQ(reached_model("MARK-4"), 1);
}

TEST_F(RealOpencodeTest, NothingIsSaidWhileAPermissionOrAQuestionIsOpen) {
  start_agent(Permissions::ask, Conversation::fresh);
  ASSERT_TRUE(eventually_saw(SignalKind::idle)) << story();

  ASSERT_EQ(say("itm_1", "RUN: echo yes > allowed.txt"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::permission_asked)) << story();
  EXPECT_TRUE(seen_[position(SignalKind::permission_asked)].detail.contains("allowed.txt"));
  EXPECT_FALSE(saw(SignalKind::turn_ended));
  EXPECT_EQ(say("itm_2", "go on", Attempt::first).result, DeliveryResult::blocked);
  EXPECT_FALSE(fs::exists(root_ / "work/allowed.txt"));

  // A daemon restart at an open prompt finds it.
  start_link(Conversation::continue_last);
  ASSERT_TRUE(eventually_saw(SignalKind::permission_asked)) << story();
  EXPECT_FALSE(saw(SignalKind::idle));

  ASSERT_TRUE(wait_for(link_->answer(open_prompt(), PermissionAnswer::allow_once, ""), kTurn));
  ASSERT_TRUE(eventually_saw(SignalKind::permission_closed)) << story();
  ASSERT_TRUE(eventually_saw(SignalKind::turn_ended)) << story();
  EXPECT_TRUE(fs::exists(root_ / "work/allowed.txt"));
  EXPECT_EQ(reached_model("go on"), 0);
  const auto nothing = wait_for(link_->answer(open_prompt(), PermissionAnswer::allow_once, ""), kTurn);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::not_found);

  seen_.clear();
  ASSERT_EQ(say("itm_3", "RUN: echo no > denied.txt"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::permission_asked)) << story();
  ASSERT_TRUE(wait_for(link_->answer(open_prompt(), PermissionAnswer::deny, "not here"), kTurn));
  ASSERT_TRUE(eventually_saw(SignalKind::idle)) << story();
  EXPECT_FALSE(fs::exists(root_ / "work/denied.txt"));

  seen_.clear();
  ASSERT_EQ(say("itm_4", "ASK: which colour?"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::question_asked)) << story();
  EXPECT_EQ(say("itm_5", "blue", Attempt::first).result, DeliveryResult::blocked);
  EXPECT_FALSE(saw(SignalKind::idle)) << story();
}

TEST_F(RealOpencodeTest, TheProvidersRefusalsHaveNames) {
  start_agent(Permissions::open, Conversation::fresh);
  ASSERT_TRUE(eventually_saw(SignalKind::idle)) << story();

  ASSERT_EQ(say("itm_1", "STATUS: 401"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::auth_required)) << story();

  ASSERT_EQ(say("itm_2", "STATUS: 429"), DeliveryResult::delivered);
  ASSERT_TRUE(eventually_saw(SignalKind::rate_limited)) << story();
  const auto until = seen_[position(SignalKind::rate_limited)].until;
  ASSERT_TRUE(until);
  EXPECT_GT(*until, clock_.now());
  EXPECT_LT(*until, clock_.now() + Millis{60'000});
}

}  // namespace
}  // namespace agentmesh::agents
