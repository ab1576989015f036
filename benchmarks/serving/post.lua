-- Posts the bodies of a file, one a line, in turn; prints what was counted as one line of JSON.
local requests, at = {}, 0

function init(arguments)
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   for body in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format(nil, nil, nil, body)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d, "max_us": %d, "failed": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
