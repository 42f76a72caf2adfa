#include "tests/tmux/server_fixture.h"
#include "tmux/delivery.h"

#include <random>

#include <boost/asio/steady_timer.hpp>

namespace agentmesh::tmux {
namespace {

namespace asio = boost::asio;

const std::string kPasteBegin = "\x1b[200~";
const std::string kPasteEnd = "\x1b[201~";

// Delivers to a recorder, and takes its title "busy N" as the proof.
struct DeliveryReal : ServerFixture {
  std::filesystem::path record = folder / "typed";
  Pane pane;
  std::function<void()> before_enter = [] {};

  void start(const std::string& swallowed_enters) {
    deliverer_ = std::make_unique<Deliverer>(*tmux, context.get_executor());
    pane = open("rec", {fake_program("tty_recorder"), record.string(), swallowed_enters});
    ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_title(pane.id, "idle"); }));
  }
  DeliveryChecks checks() {
    return {.forbids = [this](DeliveryStep step) -> asio::awaitable<std::optional<Refusal>> {
              if (step == DeliveryStep::enter) before_enter();
              co_return std::nullopt;
            },
            .draft = []() -> asio::awaitable<std::optional<std::string>> { co_return std::nullopt; },
            .state = [this] { return state(); },
            .changed = [this](std::uint64_t before, Millis limit) -> asio::awaitable<bool> {
              asio::steady_timer timer(context);
              for (Millis waited{0}; waited < limit && state() == before; waited += Millis{5}) {
                timer.expires_after(Millis{5});
                co_await timer.async_wait(asio::use_awaitable);
              }
              co_return state() != before;
            }};
  }
  std::uint64_t state() const { return std::hash<std::string>{}(title()); }
  std::string title() const { return pushed(pane.id) ? pushed(pane.id)->title : ""; }
  Delivery deliver(const std::string& message, DeliveryManner manner) {
    return *wait(deliverer_->deliver({"rec", pane.id}, message, manner, checks()));
  }
  // A person: a tmux client in a pane of its own, attached to the session. Its name.
  std::string attach(const std::string& session, const std::string& flags) {
    viewer = open("viewer", {"sh", "-c",
                             "exec env -u TMUX tmux -L " + options.socket + " attach " + flags +
                                 " -t =agentmesh-" + session});
    EXPECT_TRUE(eventually(
        Millis{5000}, [&] { return screen(viewer.id).find(" " + session + "  ") != std::string::npos; }));
    return tmux_cli("list-clients -t =agentmesh-" + session + " -F '#{client_name}'");
  }
  static void replace(std::string& text, const std::string& what, const std::string& by) {
    if (const std::size_t at = text.find(what); at != std::string::npos) text.replace(at, what.size(), by);
  }
  void person_types(const std::string& key) { wait(tmux->press(viewer.id, {key})); }
  void wait_out_the_person() {
    ASSERT_TRUE(eventually(kHandsOff + Millis{2000}, [&] {
      const auto key = wait(tmux->last_key(pane.id)).value();
      return !key || key->ago >= kHandsOff;
    }));
  }
  Pane viewer;
  std::unique_ptr<Deliverer> deliverer_;
};

TEST_F(DeliveryReal, AMessageArrivesByteForByteAndIsSubmittedOnce) {
  start("0");
  const std::string message = "line one\n\tline two; né 🙂 $HOME `x` \"q\" 'q' \\ #{pane_id} ~ @/ends;";
  const Delivery delivery = deliver(message, DeliveryManner{});
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.reason;
  EXPECT_EQ(delivery.enters, 1);
  EXPECT_EQ(read(record), kPasteBegin + message + kPasteEnd + "\r");
  EXPECT_EQ(screen(pane.id), "ready\nsubmitted 1");
}

TEST_F(DeliveryReal, SwallowedEntersArePressedAgain) {
  start("2");
  const Delivery delivery = deliver("go", DeliveryManner{.settle = Millis{20}, .proof = Millis{1500}});
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.reason;
  EXPECT_EQ(delivery.enters, 3);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r\r\r");
}

TEST_F(DeliveryReal, AnAgentThatSwallowsEveryEnterIsUnknown) {
  start("9");
  const Delivery delivery = deliver("go", DeliveryManner{.settle = Millis{20}, .proof = Millis{100}});
  EXPECT_EQ(delivery.outcome, Outcome::unknown);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r\r\r");
}

TEST_F(DeliveryReal, APersonWhoScrollsDoesNotEatTheMessage) {
  start("0");
  tmux_cli("copy-mode -t " + pane.id.str());
  before_enter = [this] { tmux_cli("copy-mode -t " + pane.id.str()); };
  EXPECT_EQ(deliver("go", DeliveryManner{}).outcome, Outcome::delivered);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r");
}

// Modes of the pane, and what tmux shows over a person's terminal; each is opened again right before Enter.
TEST_F(DeliveryReal, NothingOfTmuxItselfEatsTheMessage) {
  start("0");
  std::string expected;
  const std::string popup = (folder / "popup").string();
  for (const std::string what :
       {"choose-tree -t PANE", "clock-mode -t PANE", "copy-mode -t PANE", "command-prompt -b -t CLIENT",
        "confirm-before -b -t CLIENT kill-server", "display-menu -c CLIENT one 1 kill-server",
        "display-panes -b -d 0 -t CLIENT", "display-popup -c CLIENT 'cat > POPUP'"}) {
    std::string over = what + " > /dev/null 2>&1 &";
    replace(over, "CLIENT", attach("rec", "-r"));
    replace(over, "PANE", pane.id.str());
    replace(over, "POPUP", popup);
    before_enter = [&] { tmux_cli(over); };
    before_enter();
    const Delivery delivery = deliver("go;", DeliveryManner{});
    EXPECT_EQ(delivery.outcome, Outcome::delivered) << what << ": " << delivery.reason;
    expected += kPasteBegin + "go;" + kPasteEnd + "\r";
    EXPECT_EQ(read(record), expected) << what;
    wait(tmux->close("agentmesh-viewer"));
  }
  EXPECT_TRUE(std::filesystem::exists(popup));
  EXPECT_EQ(read(popup), "");
}

TEST_F(DeliveryReal, APersonWhoTypesIsNotDisturbed) {
  start("0");
  attach("rec", "");
  EXPECT_TRUE(wait(tmux->last_key(pane.id)).value().value().only_attached);
  person_types("h");
  ASSERT_TRUE(eventually(Millis{3000}, [&] { return read(record) == "h"; }));
  const Delivery delivery = deliver("go", DeliveryManner{});
  EXPECT_EQ(delivery.outcome, Outcome::not_delivered);
  EXPECT_EQ(delivery.reason, "somebody is typing in its terminal");
  EXPECT_EQ(read(record), "h");
  wait_out_the_person();
  EXPECT_EQ(deliver("go", DeliveryManner{}).outcome, Outcome::delivered);
}

TEST_F(DeliveryReal, APersonWhoTypesAfterThePasteSubmitsIt) {
  start("0");
  attach("rec", "");
  wait_out_the_person();
  before_enter = [this] {
    tmux_cli("send-keys -t " + viewer.id.str() + " h");
    for (int i = 0; i < 1000 && !read(record).ends_with("h"); ++i) tmux_cli("list-sessions > /dev/null");
  };
  const Delivery delivery = deliver("go", DeliveryManner{});
  EXPECT_EQ(delivery.outcome, Outcome::unknown);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "h");
}

TEST_F(DeliveryReal, WhoOnlyLooksOnHoldsNothing) {
  start("0");
  attach("rec", "-r");
  person_types("h");
  eventually(Millis{300}, [] { return false; });
  EXPECT_EQ(deliver("go", DeliveryManner{}).outcome, Outcome::delivered);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r");
}

TEST_F(DeliveryReal, APaneWhoseInputIsSwitchedOffIsNotDelivered) {
  start("0");
  tmux_cli("select-pane -d -t " + pane.id.str());
  const Delivery delivery = deliver("go", DeliveryManner{});
  EXPECT_EQ(delivery.outcome, Outcome::not_delivered);
  EXPECT_NE(delivery.reason.find("switched off"), std::string::npos) << delivery.reason;
}

TEST_F(DeliveryReal, NoEscapeSequenceLeavesThePaste) {
  start("0");
  EXPECT_EQ(deliver("a\x1b[201~\r\x03\x7f\xc2\x9b"
                    "201~b",
                    DeliveryManner{})
                .outcome,
            Outcome::delivered);
  EXPECT_EQ(read(record), kPasteBegin + "a[201~201~b" + kPasteEnd + "\r");
}

std::string random_message(std::mt19937& random) {
  static const std::string kPieces[] = {"a",  "word ",        "\n", "\t", "é",  "🙂",   ";", "@f",
                                        "/x", "\"",           "'",  "\\", "$X", "#{q}", "~", "{",
                                        "}",  "%end 1 2 1\n", "  ", "!",  "`",  "漢"};
  static const std::string kEnds[] = {";", "@", "/", "\\;", "\n", "x", "\"", "$", "#"};
  const std::size_t size = random() % 8 == 0 ? 1 + random() % (kMaxPasteBytes - 64) : 1 + random() % 400;
  std::string message = "m";
  while (message.size() < size) message += kPieces[random() % std::size(kPieces)];
  return message + kEnds[random() % std::size(kEnds)];
}

TEST_F(DeliveryReal, RandomMessagesArriveByteForByte) {
  start("0");
  std::mt19937 random(7);
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string message = random_message(random);
    ASSERT_TRUE(wait(tmux->paste(pane.id, message, PasteMarks::if_asked_for)).has_value());
    expected += kPasteBegin + message + kPasteEnd;
  }
  EXPECT_TRUE(eventually(Millis{10000}, [&] { return read(record).size() >= expected.size(); }));
  EXPECT_TRUE(read(record) == expected) << "bytes were altered";
}

TEST_F(DeliveryReal, TheLargestMessageOfOneLineArrives) {
  start("0");
  const std::string message(kMaxPasteBytes, 'x');
  EXPECT_EQ(deliver(message, DeliveryManner{}).outcome, Outcome::delivered);
  EXPECT_TRUE(read(record) == kPasteBegin + message + kPasteEnd + "\r");
}

TEST_F(DeliveryReal, APaneWhoseProgramEndedTakesNothing) {
  start("0");
  ::kill(pane.pid, SIGKILL);
  const Delivery delivery = deliver("go", DeliveryManner{});
  EXPECT_NE(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(wait(tmux->list()).has_value()) << "the server lives";
}

}  // namespace
}  // namespace agentmesh::tmux
