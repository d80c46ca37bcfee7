"""`python -m caffe_fcn`: the command line."""

from caffe_fcn.cli.main import main

if __name__ == "__main__":
    main()
