#include "runner.h"

namespace aspd {

Decoder::Status Runner::run(std::vector<BatchSpan>& spans) {
  decoder_.clear();
  for (BatchSpan& span : spans) {
    for (std::size_t i = 0; i < span.n; ++i) {
      const bool wanted = i + span.n_wanted >= span.n;
      const std::int32_t row =
          decoder_.add(span.token_ids[i], span.begin + static_cast<Pos>(i), span.sequence->id(), wanted);
      if (i + span.n_wanted == span.n) span.row = row;
    }
  }
  return decoder_.decode();
}

void Runner::run_booked(std::vector<BatchSpan>& spans) {
  if (run(spans) != Decoder::Status::kDone) throw DecodeError(1, "llama.cpp found no cells");
  for (const BatchSpan& span : spans) span.sequence->record(span.begin, span.n);
}

Decoder::Status Runner::encode(const BatchSpan& span) {
  decoder_.clear();
  for (std::size_t i = 0; i < span.n; ++i)
    decoder_.add(span.token_ids[i], span.begin + static_cast<Pos>(i), span.sequence->id(), true);
  return decoder_.encode();
}

}  // namespace aspd
