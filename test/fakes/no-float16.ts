// As in the worker: ONNX Runtime then has 16-bit floats as raw bits. Imported before it.
Reflect.deleteProperty(globalThis, "Float16Array");
