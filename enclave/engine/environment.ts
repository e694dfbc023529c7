// Imported before ONNX Runtime, on either thread: it reads this variable when it is loaded. The worker
// shares the process's environment, because native code does not see a worker's own copy of it.
process.env["ORT_DISABLE_TELEMETRY"] = "1";
