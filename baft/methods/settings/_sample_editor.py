"""An editor as others write them, for tests of the method ``foreign``: it knows nothing of this package."""


def edit(model, tokenizer, requests, steps, lr=0.05):  # type: ignore[no-untyped-def]
    """Gradient descent on all weights towards the targets."""
    for _ in range(steps):
        model.zero_grad()
        for request in requests:
            text = request["prompt"] + " " + request["target"]
            ids = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
            model(input_ids=ids, labels=ids).loss.backward()
        for parameter in model.parameters():
            parameter.data -= lr * parameter.grad
    return model
