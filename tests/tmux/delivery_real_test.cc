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
  std::string before;

  void start(const std::string& swallowed_enters) {
    deliverer_ = std::make_unique<Deliverer>(*tmux, context.get_executor());
    pane = open("rec", {fake_program("tty_recorder"), record.string(), swallowed_enters});
    ASSERT_TRUE(eventually(Millis{3000}, [&] { return has_title(pane.id, "idle"); }));
  }
  DeliveryChecks checks() {
    return {.forbids = [](DeliveryStep) -> asio::awaitable<std::optional<std::string>> {
              co_return std::nullopt;
            },
            .mark = [this] { before = title(); },
            .changed = [this](Millis limit) -> asio::awaitable<bool> {
              asio::steady_timer timer(context);
              for (Millis waited{0}; waited < limit && title() == before; waited += Millis{5}) {
                timer.expires_after(Millis{5});
                co_await timer.async_wait(asio::use_awaitable);
              }
              co_return title() != before;
            }};
  }
  std::string title() const { return pushed(pane.id) ? pushed(pane.id)->title : ""; }
  Delivery deliver(const std::string& message, DeliveryTiming timing) {
    return *wait(deliverer_->deliver(pane.id, message, timing, checks()));
  }
  std::unique_ptr<Deliverer> deliverer_;
};

TEST_F(DeliveryReal, AMessageArrivesByteForByteAndIsSubmittedOnce) {
  start("0");
  const std::string message = "line one\n\tline two; né 🙂 $HOME `x` \"q\" 'q' \\ #{pane_id} ~ @/ends;";
  const Delivery delivery = deliver(message, DeliveryTiming{});
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.reason;
  EXPECT_EQ(delivery.enters, 1);
  EXPECT_EQ(read(record), kPasteBegin + message + kPasteEnd + "\r");
  EXPECT_EQ(screen(pane.id), "ready\nsubmitted 1");
}

TEST_F(DeliveryReal, SwallowedEntersArePressedAgain) {
  start("2");
  const Delivery delivery = deliver("go", DeliveryTiming{.settle = Millis{20}, .proof = Millis{1500}});
  EXPECT_EQ(delivery.outcome, Outcome::delivered) << delivery.reason;
  EXPECT_EQ(delivery.enters, 3);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r\r\r");
}

TEST_F(DeliveryReal, AnAgentThatSwallowsEveryEnterIsUnknown) {
  start("9");
  const Delivery delivery = deliver("go", DeliveryTiming{.settle = Millis{20}, .proof = Millis{100}});
  EXPECT_EQ(delivery.outcome, Outcome::unknown);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r\r\r");
}

TEST_F(DeliveryReal, APersonWhoScrollsDoesNotEatTheMessage) {
  start("0");
  const std::string scroll = "tmux -L " + options.socket + " copy-mode -t " + pane.id.str();
  ASSERT_EQ(std::system(scroll.c_str()), 0);
  EXPECT_EQ(deliver("go", DeliveryTiming{}).outcome, Outcome::delivered);
  EXPECT_EQ(read(record), kPasteBegin + "go" + kPasteEnd + "\r");
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
    ASSERT_TRUE(wait(tmux->paste(pane.id, message)).has_value());
    expected += kPasteBegin + message + kPasteEnd;
  }
  EXPECT_TRUE(eventually(Millis{10000}, [&] { return read(record).size() >= expected.size(); }));
  EXPECT_TRUE(read(record) == expected) << "bytes were altered";
}

TEST_F(DeliveryReal, TheLargestMessageOfOneLineArrives) {
  start("0");
  const std::string message(kMaxPasteBytes, 'x');
  EXPECT_EQ(deliver(message, DeliveryTiming{}).outcome, Outcome::delivered);
  EXPECT_TRUE(read(record) == kPasteBegin + message + kPasteEnd + "\r");
}

TEST_F(DeliveryReal, APaneWhoseProgramEndedTakesNothing) {
  start("0");
  ::kill(pane.pid, SIGKILL);
  const Delivery delivery = deliver("go", DeliveryTiming{});
  EXPECT_NE(delivery.outcome, Outcome::delivered);
  EXPECT_TRUE(wait(tmux->list()).has_value()) << "the server lives";
}

}  // namespace
}  // namespace agentmesh::tmux
